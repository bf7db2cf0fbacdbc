"""Defines the streams and consumers of the command plane, and the wire form of a dispatch.

JetStream only delivers. The database has the truth, so no command is lost when the streams are.
"""

from uuid import UUID

import orjson

from libs.bus import ConsumerSpec, StreamSpec

COMMANDS = StreamSpec(
    name="COMMANDS",
    subjects=("commands.>",),
    max_age_seconds=24 * 3600.0,
    max_bytes=256 * 1024 * 1024,
    max_message_bytes=64 * 1024,
    duplicate_window_seconds=120.0,
)
DEAD_LETTERS = StreamSpec(
    name="DEAD_LETTERS",
    subjects=("dead_letters.>",),
    max_age_seconds=30 * 24 * 3600.0,
    max_bytes=256 * 1024 * 1024,
)
ADVISORIES = StreamSpec(
    name="ADVISORIES",
    subjects=("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.COMMANDS.>",),
    max_age_seconds=7 * 24 * 3600.0,
    max_bytes=16 * 1024 * 1024,
)
STREAMS = (COMMANDS, DEAD_LETTERS, ADVISORIES)

ADVISORY_READER = ConsumerSpec(stream="ADVISORIES", name="reconciler", filter_subjects=ADVISORIES.subjects)

PROBE_SUBJECT = "commands.probe"
"""The subject of the probe that checks whether the stream stores. No consumer reads it, and trimming removes it."""

MAX_PER_DISPATCH = 100
"""The most commands in one message. Commands of a batch that go to the same runner share messages."""


def runner_consumer(runner_id: UUID, priority: int) -> ConsumerSpec:
    """Return the consumer of a runner for one priority. Sessions stay with a runner, so dispatches name the runner.

    Only the database counts attempts. `max_deliver` only ends an endless redelivery by the broker (failures, row 7).
    """
    return ConsumerSpec(
        stream=COMMANDS.name,
        name=f"runner-{runner_id.hex}-{priority}",
        filter_subjects=(f"commands.*.{priority}.*.{runner_id.hex}",),
        ack_wait_seconds=30.0,
        max_deliver=8,
        inactive_threshold_seconds=3600.0,
    )


def dispatch_subject(tenant_id: str, priority: int, partition: int, runner_id: UUID) -> str:
    """Return the subject of a dispatch."""
    return f"commands.{tenant_id}.{priority}.{partition}.{runner_id.hex}"


def dead_letter_subject(tenant_id: str, reason: str) -> str:
    """Return the subject of a dead letter."""
    return f"dead_letters.{tenant_id}.{reason}"


def encode_dispatch(ids: list[tuple[UUID, int]]) -> bytes:
    """Encode a dispatch: pairs of a command's id and the number of its dispatch."""
    return orjson.dumps(ids)


def decode_dispatch(subject: str, payload: bytes) -> tuple[str, int, int, list[tuple[UUID, int]]]:
    """Decode a dispatch into tenant, priority, partition and the pairs. Raises ValueError if it is not a dispatch."""
    tokens = subject.split(".")
    pairs = orjson.loads(payload)
    try:
        return (
            tokens[1],
            int(tokens[2]),
            int(tokens[3]),
            [(UUID(command_id), int(number)) for command_id, number in pairs],
        )
    except (IndexError, TypeError) as error:
        raise ValueError("not a dispatch") from error


PRIORITIES = {0: "high", 1: "normal", 2: "low"}
