"""One delivery of a message from a stream to a consumer."""

from libs.bus.client import NatsConnection
from libs.bus.specs import nanoseconds


class Delivery:
    """A message, with methods to acknowledge or reject it. They send and do not wait.

    They use the connection that the message came on, and no other: after a loss the broker may have a new stream,
    where the same sequence is another message. If that loses the acknowledgement, the broker delivers the
    message once more after `ack_wait`.
    """

    __slots__ = ("_connection", "_reply", "_subject", "num_delivered", "payload", "stream_sequence")

    def __init__(self, connection: NatsConnection, subject: bytes, reply: bytes, payload: bytes) -> None:
        self._connection = connection
        self._subject = subject
        self._reply = reply
        self.payload = payload
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, and with two
        # more tokens (domain, account) before the stream if the broker uses domains.
        tokens = reply.split(b".")
        first = 4 if len(tokens) == 9 else 6
        self.num_delivered = int(tokens[first])
        self.stream_sequence = int(tokens[first + 1])

    def __repr__(self) -> str:
        return f"Delivery({self.subject!r}, sequence {self.stream_sequence}, delivery {self.num_delivered})"

    @property
    def subject(self) -> str:
        """The subject that the message was published on."""
        return self._subject.decode()

    def ack(self) -> None:
        """Acknowledge the message: it is not delivered again."""
        self._settle(b"")

    def nak(self, delay_seconds: float) -> None:
        """Have the message delivered again after a delay above 0. Without a delay, five deliveries took 3 ms."""
        if delay_seconds <= 0:
            raise ValueError("a delay above 0 s is needed")
        self._settle(b'-NAK {"delay":%d}' % nanoseconds(delay_seconds))

    def term(self, reason: str) -> None:
        """Have the message never delivered again, and tell the broker the reason."""
        self._settle(b"+TERM " + " ".join(reason.split()).encode())

    def _settle(self, answer: bytes) -> None:
        self._connection.publish_frame(self._reply, answer)
