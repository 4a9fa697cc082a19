"""Reading what a process shows to Prometheus, with Prometheus' own rules."""

from prometheus_client.parser import text_string_to_metric_families

Shown = dict[str, dict[tuple[str, ...], float]]


def parsed(text: str) -> Shown:
    """Return values by the values of their labels (in the order of the labels' names), by name."""
    found: Shown = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found
