"""The metrics of requests and streams."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """Counts requests and their durations by operation. Unknown paths share one label, so that labels stay few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "callboard_http_requests", "Requests answered, by operation and status.",
            ("operation", "status"), registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "callboard_http_seconds", "How long requests took, without streams.",
            ("operation",), buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self.streams = Gauge("callboard_http_streams", "Streams of events that are open.", registry=registry)
        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def observe(self, operation: str, status: int, seconds: float, *, is_stream: bool) -> None:
        """Count one request that has ended."""
        pair = self._known.get((operation, status))
        if pair is None:  # looking up labels costs more than counting
            pair = self._requests.labels(operation, str(status)), self._seconds.labels(operation)
            self._known[operation, status] = pair
        pair[0].inc()
        if not is_stream:
            pair[1].observe(seconds)
