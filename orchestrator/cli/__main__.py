"""`python -m orchestrator.cli`, where the installed script is not at hand."""

from orchestrator.cli.main import main

main()
