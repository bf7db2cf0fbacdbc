"""Streams and consumers as data: what a service wants to find at the broker, and what it finds there."""

from dataclasses import dataclass

from libs.bus.api import Json

NANOSECONDS = 1_000_000_000


def nanoseconds(seconds: float) -> int:
    """Convert to the unit of the broker's interface."""
    return round(seconds * NANOSECONDS)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream with limits retention on disk; spans in seconds, sizes in bytes, None for no limit.

    A full stream refuses new messages: it never drops old ones silently to make room. What is older than
    `max_age_seconds` goes. Editing `subjects`, the limits, the window or the replicas of a live stream is
    possible.
    """

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: float | None = None
    max_bytes: int | None = None
    max_message_bytes: int | None = None
    duplicate_window_seconds: float = 120.0
    num_replicas: int = 1

    def config(self) -> Json:
        """Write it as the broker's interface does."""
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_age": nanoseconds(self.max_age_seconds or 0),
            "max_bytes": self.max_bytes or -1,
            "max_msg_size": self.max_message_bytes or -1,
            "duplicate_window": nanoseconds(self.duplicate_window_seconds),
            "num_replicas": self.num_replicas,
        }


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable pull consumer that sees all messages of the stream which match one of its filters.

    Spans in seconds. `backoff_seconds`, where given, takes the place of `ack_wait_seconds` for the first
    deliveries and may have at most `max_deliver` entries. Without a pull for `inactive_threshold_seconds` the
    broker deletes it.
    """

    stream: str
    name: str
    filter_subjects: tuple[str, ...]
    ack_wait_seconds: float = 30.0
    max_deliver: int = 8
    backoff_seconds: tuple[float, ...] = ()
    max_ack_pending: int = 1_000
    inactive_threshold_seconds: float | None = None

    def config(self) -> Json:
        """Write it as the broker's interface does."""
        config: Json = {
            "name": self.name,
            "durable_name": self.name,
            "filter_subjects": list(self.filter_subjects),
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": nanoseconds(self.backoff_seconds[0] if self.backoff_seconds else self.ack_wait_seconds),
            "max_deliver": self.max_deliver,
            "max_ack_pending": self.max_ack_pending,
        }
        if self.backoff_seconds:
            config["backoff"] = [nanoseconds(each) for each in self.backoff_seconds]
        if self.inactive_threshold_seconds is not None:
            config["inactive_threshold"] = nanoseconds(self.inactive_threshold_seconds)
        return config


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds. `epoch` changes when it was made anew: older sequences then mean nothing."""

    epoch: str
    messages: int
    size_bytes: int
    first_sequence: int
    last_sequence: int
    num_consumers: int


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """How far a consumer is.

    Every message of its filters up to `ack_floor_stream_seq` is settled; up to `delivered_stream_seq` each
    was delivered at least once; `num_ack_pending` are delivered and not settled; `num_pending` have not been
    delivered; `waiting` pull requests are open. A message out of deliveries is in none of these counts.
    """

    name: str
    ack_floor_stream_seq: int
    delivered_stream_seq: int
    num_ack_pending: int
    num_pending: int
    num_redelivered: int
    waiting: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as the stream holds it."""

    subject: str
    payload: bytes
    sequence: int
