"""What this machine measures: `make bench`. Figures and ratios, never pass or fail: judge them yourself."""
