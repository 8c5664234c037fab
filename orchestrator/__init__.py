"""Runs Cekura's manual Pipecat flow end to end: start sessions, submit rooms, follow runs, tear everything down."""

__version__ = "0.1.0"
