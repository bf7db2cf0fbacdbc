"""Subjects and format of the notifications that services send each other over core NATS."""

from libs.notifications.appended import Appended
from libs.notifications.bus_notifier import BusNotifier
from libs.notifications.notifier import Notifier
from libs.notifications.subjects import (
    COMMANDS_WAITING,
    CONNECTIONS_WANTED,
    EVENTS,
    SESSIONS_CLOSING,
    decode_notification,
    encode_notification,
    events_subject,
    runner_subject,
)

__all__ = [
    "COMMANDS_WAITING",
    "CONNECTIONS_WANTED",
    "EVENTS",
    "SESSIONS_CLOSING",
    "Appended",
    "BusNotifier",
    "Notifier",
    "decode_notification",
    "encode_notification",
    "events_subject",
    "runner_subject",
]
