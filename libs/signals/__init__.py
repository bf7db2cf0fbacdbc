"""The subjects and the form of the signals that the services send each other over core NATS."""

from libs.signals.bus import BusSignals
from libs.signals.subjects import (
    COMMANDS_WAITING,
    CONNECTIONS_WANTED,
    EVENTS,
    SESSIONS_CLOSING,
    decode_hint,
    encode_hint,
    events_subject,
    runner_subject,
)

__all__ = [
    "COMMANDS_WAITING",
    "CONNECTIONS_WANTED",
    "EVENTS",
    "SESSIONS_CLOSING",
    "BusSignals",
    "decode_hint",
    "encode_hint",
    "events_subject",
    "runner_subject",
]
