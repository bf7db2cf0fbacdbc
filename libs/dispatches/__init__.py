"""The interface between the dispatcher and the runners: streams, consumers, and the wire form of a dispatch."""

from libs.dispatches.topology import (
    ADVISORIES,
    ADVISORY_READER,
    COMMANDS,
    DEAD_LETTERS,
    MAX_PER_DISPATCH,
    PRIORITIES,
    PROBE_SUBJECT,
    STREAMS,
    dead_letter_subject,
    decode_dispatch,
    dispatch_subject,
    encode_dispatch,
    runner_consumer,
)

__all__ = [
    "ADVISORIES",
    "ADVISORY_READER",
    "COMMANDS",
    "DEAD_LETTERS",
    "MAX_PER_DISPATCH",
    "PRIORITIES",
    "PROBE_SUBJECT",
    "STREAMS",
    "dead_letter_subject",
    "decode_dispatch",
    "dispatch_subject",
    "encode_dispatch",
    "runner_consumer",
]
