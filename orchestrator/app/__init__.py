"""The use cases, and the only place that builds the object graph: opened in order, closed in reverse."""
