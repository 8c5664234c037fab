"""The crash matrix: the real command is killed at known requests, restarted, and judged by the sandbox's world."""
