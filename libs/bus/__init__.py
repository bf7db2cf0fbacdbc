"""The bus: all code that talks to NATS."""

from libs.bus.connection import Bus
from libs.bus.delivery import Delivery
from libs.bus.errors import (
    BrokerRefusedError,
    BusError,
    BusUnavailableError,
    ConsumerMissingError,
    InvalidMessageError,
    StreamMissingError,
)
from libs.bus.notifications import Notifications, NotificationSubscription
from libs.bus.publisher import Message, PubAck, Publisher
from libs.bus.pull import PullLoop
from libs.bus.pull_round import PullTimings
from libs.bus.specs import ConsumerSpec, ConsumerState, StoredMessage, StreamSpec, StreamState
from libs.bus.streams import Streams

__all__ = [
    "BrokerRefusedError",
    "Bus",
    "BusError",
    "BusUnavailableError",
    "ConsumerMissingError",
    "ConsumerSpec",
    "ConsumerState",
    "Delivery",
    "InvalidMessageError",
    "Message",
    "NotificationSubscription",
    "Notifications",
    "PubAck",
    "Publisher",
    "PullLoop",
    "PullTimings",
    "StoredMessage",
    "StreamMissingError",
    "StreamSpec",
    "StreamState",
    "Streams",
]
