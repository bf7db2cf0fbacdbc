"""Parses what the broker sends, without a coroutine, queue or regular expression for each message."""

from collections.abc import Callable

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

# (subscription, subject, reply subject or b"", header block or b"", payload)
FrameHandler = Callable[[int, bytes, bytes, bytes, bytes], None]

LONGEST_CONTROL_LINE = 64 * 1024  # bytes; the longest line is the INFO of a large cluster

_NEWLINE = b"\r\n"
_NEWLINE_SIZE = 2


class FrameParser(Parser):
    """Parses MSG and HMSG itself and passes every other line to nats-py's parser.

    A delivery with its acknowledgement takes 5 µs of CPU, against 25 µs with nats-py's parser, queue and task.
    """

    def __init__(self, client: object, on_frame: FrameHandler) -> None:
        self._on_frame = on_frame
        self._rest = bytearray()  # a frame whose end has not arrived
        self._wanted = 0  # bytes that the frame in `_rest` needs to be complete
        super().__init__(client)

    def reset(self) -> None:
        """Drop an incomplete frame. nats-py calls this when a new connection begins."""
        super().reset()
        self._rest.clear()
        self._wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        """Pass on each complete frame and keep the rest; raises ProtocolError for invalid input."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return
            data = bytes(self._rest)
            self._rest.clear()
        position = 0
        self._wanted = 0
        while position < len(data):
            line_end = data.find(_NEWLINE, position)
            if line_end < 0:
                if len(data) - position > LONGEST_CONTROL_LINE:
                    raise ProtocolError
                break
            if data[position] in b"MH":
                after = self._cut_message(data, position, line_end)
                if after < 0:
                    break
                position = after
            else:
                await super().parse(data[position : line_end + _NEWLINE_SIZE])
                position = line_end + _NEWLINE_SIZE
        if position < len(data):
            self._rest += data[position:] if position else data

    def _cut_message(self, data: bytes, position: int, line_end: int) -> int:
        """Pass on the message at `position`; return where it ends, or -1 if its end has not arrived."""
        fields = data[position:line_end].split()
        try:
            size = int(fields[-1])
            if fields[0] == b"MSG" and 4 <= len(fields) <= 5:
                header_size, has_reply = 0, len(fields) == 5
            elif fields[0] == b"HMSG" and 5 <= len(fields) <= 6:
                header_size, has_reply = int(fields[-2]), len(fields) == 6
            else:
                raise ProtocolError
            subscription = int(fields[2])
        except ValueError as error:
            raise ProtocolError from error
        start = line_end + _NEWLINE_SIZE
        end = start + size
        if end + _NEWLINE_SIZE > len(data):
            self._wanted = end + _NEWLINE_SIZE - position
            return -1
        body = start + header_size
        reply = fields[3] if has_reply else b""
        self._on_frame(subscription, fields[1], reply, data[start:body], data[body:end])
        return end + _NEWLINE_SIZE
