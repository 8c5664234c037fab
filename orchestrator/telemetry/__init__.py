"""What this process tells of itself: logs, metrics and traces. Each foreign library is imported by one module here."""
