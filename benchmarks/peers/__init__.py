"""What people would otherwise use, written as a competent person writes it; each runs in a process of its own.

Each gets its settings as one JSON argument, and the remotes' addresses and keys from the environment as the
orchestrator does. Each prints one JSON document: what it believes to have happened, and when.
"""
