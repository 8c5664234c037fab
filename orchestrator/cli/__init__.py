"""The command line: translates what a person types into use cases, and what came of them into tables and exit codes."""
