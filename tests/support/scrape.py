"""Reads what /metrics would say, the way Prometheus does."""

from prometheus_client.parser import text_string_to_metric_families


def families(metrics):
    """Every metric by its name."""
    text = metrics.render()[0].decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(metrics, name, **labels):
    """One number; 0 where the series is not there."""
    found = [
        sample.value
        for family in families(metrics).values()
        for sample in family.samples
        if sample.name == f"orchestrator_{name}" and labels.items() <= sample.labels.items()
    ]
    return sum(found)
