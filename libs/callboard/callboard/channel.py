"""Sets up channels to Callboard's services, and the metadata with the key."""

from collections.abc import Sequence
from typing import Any

Metadata = Sequence[tuple[str, str]]

_PING_MILLISECONDS = 20_000  # the services permit one in 10 s
_PING_TIMEOUT_MILLISECONDS = 10_000
# How long one attempt to connect may take. gRPC names it otherwise, and has another setting for the wait between two.
_CONNECT_MILLISECONDS = 5_000
_MOST_RECEIVED_BYTES = 64 * 1024 * 1024  # pages of events with large payloads pass gRPC's own 4 MiB
_MOST_METADATA_BYTES = 16 * 1024


def bearer(key: str) -> Metadata:
    """Return the metadata that carries a key."""
    return (("authorization", f"Bearer {key}"),)


def channel_options() -> list[tuple[str, Any]]:
    """Return gRPC's options for a channel."""
    return [
        ("grpc.use_local_subchannel_pool", 1),  # otherwise channels with equal options would share a connection
        ("grpc.keepalive_time_ms", _PING_MILLISECONDS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MILLISECONDS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", _MOST_RECEIVED_BYTES),
        ("grpc.max_metadata_size", _MOST_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MOST_METADATA_BYTES),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MILLISECONDS),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
