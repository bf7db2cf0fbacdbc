"""Metrics from plain numbers, which are read when the metrics are requested."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Read = Callable[[], Mapping[str, float]]


class Readings(Collector):
    """Exposes numbers by one label, so that domain code needs no metrics library."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._families: list[Callable[[], Metric]] = []
        registry.register(self)

    def gauge(self, name: str, help_text: str, label: str, read: Read) -> None:
        """Expose numbers that rise and fall. With an empty `label`, expose the single number under the key ''."""
        self._families.append(lambda: _filled(GaugeMetricFamily(name, help_text, labels=_labels(label)), label, read))

    def counter(self, name: str, help_text: str, label: str, read: Read) -> None:
        """Expose numbers that only grow."""
        self._families.append(lambda: _filled(CounterMetricFamily(name, help_text, labels=_labels(label)), label, read))

    def collect(self) -> Iterable[Metric]:
        """Read all numbers now."""
        return [family() for family in self._families]


def _labels(label: str) -> list[str]:
    return [label] if label else []


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, label: str, read: Read
) -> GaugeMetricFamily | CounterMetricFamily:
    for value, number in read().items():
        family.add_metric([value] if label else [], number)
    return family
