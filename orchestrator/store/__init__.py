"""The rows, and the only SQL in the project. A row exists before the world changes; a write is true once committed.

`Store` opens the database and runs units of work; `batches`, `runs`, `sessions` and `submissions` hold one statement
per named function. Times come from the caller, aware, and are stored as UTC.
"""
