"""Limits of a server, and the gRPC options that set them."""

from dataclasses import dataclass

KEEPALIVE_SECONDS = 20
"""How often each end pings an idle connection. With the timeout, this bounds how long it may be half-open."""
KEEPALIVE_TIMEOUT_SECONDS = 10
PERMITTED_PING_SECONDS = 10.0
"""How often a client may ping. By default gRPC sends GOAWAY to clients that ping more than every 5 minutes."""

Options = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of one server.

    A request above `max_request_bytes` is rejected with PAYLOAD_TOO_LARGE. Above twice that size gRPC itself rejects
    it with RESOURCE_EXHAUSTED and no reason. The gateway shares connections between its subscribers, hence 1,000
    streams for each connection.
    """

    max_request_bytes: int = 4 * 1024 * 1024
    max_concurrent_calls: int = 4096
    max_streams_per_connection: int = 1000
    max_metadata_bytes: int = 16 * 1024

    def options(self) -> Options:
        """Return gRPC's options for a server."""
        return [
            ("grpc.so_reuseport", 0),  # otherwise a second server on the port is no error and gets half of the calls
            ("grpc.max_receive_message_length", 2 * self.max_request_bytes),
            ("grpc.max_concurrent_streams", self.max_streams_per_connection),
            ("grpc.max_metadata_size", self.max_metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.max_metadata_bytes),
            ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", round(PERMITTED_PING_SECONDS * 1000)),
        ]
