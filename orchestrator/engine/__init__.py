"""The choreography of a batch: asynchronous, and deciding nothing it could ask the domain.

A `Driver` drives one batch over its rows. The `Roster` is those rows as this process last committed them; `Starter`,
`Readiness`, `Submitter` and `Watcher` gather facts and apply them there. Teardown belongs to the `Reaper`, which
outlives any batch. `dispatcher` says which batches this process drives.
"""
