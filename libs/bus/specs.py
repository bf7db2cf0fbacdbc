"""Streams and consumers as data: their specifications, and the states that the broker reports."""

from dataclasses import dataclass

from libs.bus.api import Json

NANOSECONDS = 1_000_000_000


def nanoseconds(seconds: float) -> int:
    """Convert seconds to the unit of the broker's API."""
    return round(seconds * NANOSECONDS)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream on disk with retention by limits. None means no limit.

    A full stream rejects new messages and never drops old ones to make room. It deletes messages older than
    `max_age_seconds`. The subjects, limits, window and replicas of an existing stream can be updated.
    """

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: float | None = None
    max_bytes: int | None = None
    max_message_bytes: int | None = None
    duplicate_window_seconds: float = 120.0
    num_replicas: int = 1

    def config(self) -> Json:
        """Return the configuration in the form of the broker's API."""
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
    """A durable pull consumer of all messages of the stream that match one of its filters.

    `backoff_seconds`, if given, replaces `ack_wait_seconds` for the first deliveries and may have at most
    `max_deliver` entries. The broker deletes a consumer that sees no pull for `inactive_threshold_seconds`.
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
        """Return the configuration in the form of the broker's API."""
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
    """What a stream holds. A stream that was recreated has another `epoch`: earlier sequences then mean nothing."""

    epoch: str
    messages: int
    size_bytes: int
    first_sequence: int
    last_sequence: int
    num_consumers: int


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """The progress of a consumer.

    All messages up to `ack_floor_stream_seq` are acknowledged. All up to `delivered_stream_seq` were delivered at
    least once. `num_ack_pending` messages are delivered and not acknowledged, `num_pending` are not delivered yet,
    and `waiting` pull requests are open. A message that reached `max_deliver` is in none of these counts.
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
    """A message in a stream."""

    subject: str
    payload: bytes
    sequence: int
