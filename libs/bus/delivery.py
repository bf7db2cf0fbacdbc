"""One delivery of a stream's message to a consumer."""

from libs.bus.client import Connection
from libs.bus.specs import nanoseconds


class Delivery:
    """A message and how to settle it; settling sends and does not wait.

    It settles on the connection that it came by and on no other: after a loss the broker may have begun a new
    stream, in which the same sequence is somebody else's message. An answer that is lost so means one more
    delivery, after `ack_wait`.
    """

    __slots__ = ("_connection", "_reply", "_subject", "num_delivered", "payload", "stream_sequence")

    def __init__(self, connection: Connection, subject: bytes, reply: bytes, payload: bytes) -> None:
        self._connection = connection
        self._subject = subject
        self._reply = reply
        self.payload = payload
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, and with two
        # more tokens (domain, account) in front of the stream where the broker has domains.
        tokens = reply.split(b".")
        first = 4 if len(tokens) == 9 else 6
        self.num_delivered = int(tokens[first])
        self.stream_sequence = int(tokens[first + 1])

    def __repr__(self) -> str:
        return f"Delivery({self.subject!r}, sequence {self.stream_sequence}, delivery {self.num_delivered})"

    @property
    def subject(self) -> str:
        """The subject that it was published on."""
        return self._subject.decode()

    def ack(self) -> None:
        """Done with: never deliver it again."""
        self._settle(b"")

    def nak(self, delay_seconds: float) -> None:
        """Deliver it again after the delay, which must be above 0: without one, five deliveries took 3 ms."""
        if delay_seconds <= 0:
            raise ValueError("a delay above 0 s is needed")
        self._settle(b'-NAK {"delay":%d}' % nanoseconds(delay_seconds))

    def term(self, reason: str) -> None:
        """Never deliver it again, and tell the broker's operators why."""
        self._settle(b"+TERM " + " ".join(reason.split()).encode())

    def _settle(self, answer: bytes) -> None:
        self._connection.publish_frame(self._reply, answer)
