"""The streams and consumers of the command plane, as data, in this one place.

JetStream is delivery, never truth: it may lose all that these hold, and nothing is lost.
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
"""What is published to see whether the stream stores; no consumer takes it, and trimming removes it."""

MAX_PER_DISPATCH = 100
"""Commands in one message at most: those of a batch that go to the same runner travel together."""


def runner_consumer(runner_id: UUID, priority: int) -> ConsumerSpec:
    """Describe the consumer of a runner for one priority; sessions stay with a runner, so dispatches name it.

    Attempts are counted in the database alone; `max_deliver` only ends a loop of the broker's own (failures, row 7).
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
    """Write a dispatch: pairs of a command's id and the number of its dispatch."""
    return orjson.dumps(ids)


def decode_dispatch(subject: str, payload: bytes) -> tuple[str, int, int, list[tuple[UUID, int]]]:
    """Read a dispatch: tenant, priority, partition, and the pairs. Raises ValueError for what is none."""
    tokens = subject.split(".")
    pairs = orjson.loads(payload)
    try:
        return (
            tokens[1],
            int(tokens[2]),
            int(tokens[3]),
            [(UUID(command_id), int(no)) for command_id, no in pairs],
        )
    except (IndexError, TypeError) as error:
        raise ValueError("not a dispatch") from error


PRIORITIES = {0: "high", 1: "normal", 2: "low"}
