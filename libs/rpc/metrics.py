"""Metrics of calls."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RpcMetrics:
    """Calls and their durations by method and code. Only served methods count, so labels stay few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "code")
        self._calls = Counter("callboard_rpc_calls", "Calls served, by method and code.", labels, registry=registry)
        self._seconds = Histogram(
            "callboard_rpc_seconds", "How long calls took, streams as a whole.", labels,
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._known: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Count one finished call."""
        pair = self._known.get((method, code))
        if pair is None:  # looking up a label takes longer than counting
            pair = self._calls.labels(method, code), self._seconds.labels(method, code)
            self._known[method, code] = pair
        pair[0].inc()
        pair[1].observe(seconds)
