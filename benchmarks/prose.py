"""What docs/benchmarks.md says between its tables."""

from __future__ import annotations

from typing import Final

INTRO: Final = """# Benchmarks

What users wait for and pay for, beside what they would otherwise use. Everything runs against the sandbox, a process
of its own, at the usual proportions: start 1.5 s, bot in its room after 2 to 10 s, calls of 20 to 120 s, evaluation
10 s, 5 dispatches a second. The sandbox divides these by its speed; **all seconds here are seconds of life**, real
ones times the speed. So what a client waits in real seconds, whatever the speed, weighs that much more here than in
life. Ratios within one run mean something; absolute figures depend on the machine. No test asserts a time.

`make bench` measures everything and writes this page; `python -m benchmarks PART` measures one part (`compare`,
`requests`, `scale`, `limits`, `startup`, `window`, `pools`, `lists`, `workers`; `--quick` for a small one),
`python -m benchmarks render` writes the page again from the figures in `docs/benchmarks/`."""
MEASURED: Final = """Measured, with the load of the machine in the minute before a part began (where it was kept) and
in its last minute, the part's own included:"""
EARLIER: Final = """The figures of {parts} are of an earlier commit,
before the engine was replaced ([decision 0021](decisions/0021-the-batch-row-is-the-queue.md)); none was measured again
since, for together they take an hour. One look for comparison, with 1,000 live runs on 2026-11-25 at a load of 6 to 11:
10.4 ms CPU a run and 102 MB, where the table has 10.0 ms and 124 MB."""
PEERS: Final = """The peers are in `benchmarks/peers/`, written as a competent person would write them:

- **guide**: the script of Cekura's manual-flow guide grown to N runs. Starts all sessions behind a semaphore, submits
  all rooms in one request, polls them in bulk every 5 s, stops and deletes in `finally`. It needs N sessions at once.
- **per run**: start, sleep 2 s, submit that room, poll that run alone every 5 s, stop, delete; behind a semaphore of
  the session limit (twice the calls here) or of the call limit: a script writer knows one or the other.
- **SDKs**: `pipecatcloud`, `cekura` and Pipecat's Daily helper glued together, behind a semaphore of the call limit."""
TIME: Final = """## Batch time

The bound is a simulator (`benchmarks/bound.py`): the same calls in the order of their dispatch, with their real
lengths; a call is dispatched the moment a slot is free and the rate allows it. It begins with the batch, takes the
first call's real beginning, and ends with the last verdict plus half a poll interval. Batch time runs to the last
verdict known. The second ratio allows for the tester's way of 1 s, in which the slot is taken already; nobody can
save that. *Longest first* is the bound of another order, the *floor* what no order beats; both are printed, not
judged. Repetitions (other seeds) stand side by side. A peer's bound is that of the calls it really had: where bots
left before Cekura had a place for them, those runs failed and are not in it (see *passed*). CPU is of one core, of
the client's process and of the sandbox's: well below 100 % says that the figures speak of the policy and not of this
machine."""
IDLE: Final = """## Idle session seconds

A session bills while it lives. Outside its call it idles, for one of these reasons (`benchmarks/idle.py`): the
remotes' own (start to bot joined; dispatch to the call's beginning), evidence lag (bot joined to our knowing it),
ours (known but not submitted; submitted but queued at Cekura; call end to session stopped). Sessions that never had a
call are a line of their own. Seconds per run; they add up to what the sandbox's world says (the last column is what
is missing). A peer keeps no note of when it knew, so its wait for evidence counts as not submitted."""
TEARDOWN: Final = """## Teardown lag

From the end of a call to the end of its session, and of its room. The last column is the 95th percentile that Daily's
limit on deleting rooms singly (50 in 30 s) would impose on whoever deletes each room a poll interval and the grace
after its call; rooms deleted in bulk may beat it. No limit on stops is published."""
REQUESTS: Final = """## Requests

Fifty calls at once. A run-minute is a minute that a run spends with Cekura, from submission to verdict."""
SCALE: Final = """## CPU, memory, event-loop lag

All runs live at once in one worker (`python -m benchmarks.scale`); CPU of our process alone, imports apart."""
LEAST: Final = """What a run cannot cost less than, each by itself: a request on a kept connection, one on a connection
of its own (as paid calls are made), and the rows of a whole run. A run makes one paid call, a share of another, and two
to four other requests; the rest of its CPU is the engine's, the event loop's and the polls'."""
STARTUP: Final = """## Start-up

Whole processes, real seconds, median of the repetitions; CPU seconds as well, for they say more where the machine was
busy."""
STARTUP_BEFORE: Final = """Before the engine was replaced (2026-11-21, a machine of the same kind at a load of 0.9), the
first start call was reached after 1.30 s, of which the import of the engine's library took 0.57 s."""
POOLS: Final = """## Session pools

The same batch twice, all its runs at once (`benchmarks/pools.py`): each run starts a session of its own, then as many
warm sessions wait since the pool was full for a minute. Start to submit is what a run waits from the moment it gets a
session, or begins to start one, until Cekura has its room. Idle is all that the batch's sessions were paid for outside
calls; *in the pool* is the part of it before a run took them. What the pool started again in their place, and nobody
took until the batch had ended, is a column of its own. A pool pays when a run's wait matters more than these seconds;
the sooner its sessions are taken, the fewer they are."""
LISTS: Final = """## Lists as history grows

Milliseconds, median of the repetitions, both histories by turns in the same run (`benchmarks/lists.py`). The last rows
are whole commands, the start of the process included."""
WORKERS: Final = """## Several workers

`orchestrator serve` on one PostgreSQL (`benchmarks/workers.py`), real seconds. A worker that drives a batch in the
middle of its calls is killed, and the batch stands still until another drives it: the rest of the lease that the dead
one held, and the quarter of a lease after which the others look again."""
LOAD: Final = """The same load for one worker and for two, by turns: {batches} batches of {runs} runs, where each worker
has room for {at_once} batches at once."""
WINDOW: Final = """## What fits into the six seconds after SIGTERM

At life's own pace; a batch of calls that never end is told to stop once all are on."""
PEERS_REQUESTS: Final = """The peers beside us, 200 runs, 50 calls, slots until judged. The Cekura SDK leaves the slash
off its paths, so each of its requests is redirected once; only the second is counted."""
LIMITS: Final = """## What limits what

What no policy of ours can take away, from the figures above (ours, balanced). A call's end is seen by a poll, half an
interval late on average, and the grace follows; both are the plan's to choose (`timing`)."""
