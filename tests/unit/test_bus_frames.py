"""The parser finds the same frames however the bytes arrive."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError

from libs.bus.frames import LONGEST_CONTROL_LINE, FrameParser

Frame = tuple[int, bytes, bytes, bytes, bytes]


class Client:
    """Records what nats-py's parser calls on its client."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def _process_ping(self) -> None:
        self.calls.append("ping")

    async def _process_pong(self) -> None:
        self.calls.append("pong")

    async def _process_info(self, info: dict[str, object]) -> None:
        self.calls.append(f"info {info['server_id']}")

    async def _process_err(self, message: str) -> None:
        self.calls.append(f"error {message}")


def parser() -> tuple[FrameParser, Client, list[Frame]]:
    client, frames = Client(), list[Frame]()
    return FrameParser(client, lambda *frame: frames.append(frame)), client, frames


HEADER = b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"
WIRE = (
    b"MSG events.a 1 5\r\nhello\r\n"
    b"PING\r\n"
    b"MSG events.b 22 _INBOX.x 0\r\n\r\n"
    b"+OK\r\n"
    b"HMSG commands.a 3 $JS.ACK.S.C.1.2.3.4.5 %d %d\r\n%bMSG \r\n"
    % (len(HEADER), len(HEADER) + 4, HEADER)
    + b'INFO {"server_id":"N"}\r\n'
    + b"HMSG _INBOX.x 4 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    + b"PONG\r\n"
    + b"-ERR 'Unknown Protocol Operation'\r\n"
)
FRAMES: list[Frame] = [
    (1, b"events.a", b"", b"", b"hello"),
    (22, b"events.b", b"_INBOX.x", b"", b""),
    (3, b"commands.a", b"$JS.ACK.S.C.1.2.3.4.5", HEADER, b"MSG "),
    (4, b"_INBOX.x", b"", b"NATS/1.0 503\r\n\r\n", b""),
]
CALLS = ["ping", "info N", "pong", "error 'unknown protocol operation'"]


async def test_frames_are_the_same_from_single_bytes() -> None:
    for size in (1, 2, 3, 7, len(WIRE)):
        parsing, client, frames = parser()
        for start in range(0, len(WIRE), size):
            await parsing.parse(WIRE[start : start + size])
        assert frames == FRAMES
        assert client.calls == CALLS


@given(st.lists(st.integers(0, len(WIRE)), max_size=12))
async def test_frames_do_not_depend_on_how_bytes_arrive(cuts: list[int]) -> None:
    parsing, client, frames = parser()
    edges = [0, *sorted(cuts), len(WIRE)]
    for start, end in itertools.pairwise(edges):
        await parsing.parse(WIRE[start:end])
    assert frames == FRAMES
    assert client.calls == CALLS


async def test_large_payload_in_many_pieces_is_one_frame() -> None:
    parsing, _, frames = parser()
    payload = bytes(range(256)) * 16_384
    wire = b"MSG a 1 %d\r\n%b\r\nMSG b 1 0\r\n\r\n" % (len(payload), payload)
    for start in range(0, len(wire), 32_768):
        await parsing.parse(wire[start : start + 32_768])
    assert [(frame[1], len(frame[4])) for frame in frames] == [(b"a", len(payload)), (b"b", 0)]
    assert frames[0][4] == payload


@pytest.mark.parametrize(
    "wire",
    [
        b"MSG a 1\r\n",
        b"MSG a x 3\r\nabc\r\n",
        b"MSG a 1 b c d 3\r\n",
        b"HMSG a 1 3\r\n",
        b"WHAT\r\n",
        b"M\r\n",
    ],
)
async def test_malformed_frame_is_an_error(wire: bytes) -> None:
    parsing, _, _ = parser()
    with pytest.raises(ProtocolError):
        await parsing.parse(wire)


async def test_line_without_an_end_is_an_error() -> None:
    parsing, _, _ = parser()
    with pytest.raises(ProtocolError):
        await parsing.parse(b"M" * (LONGEST_CONTROL_LINE + 1))


async def test_reset_discards_a_partial_frame() -> None:
    parsing, _, frames = parser()
    await parsing.parse(b"MSG a 1 100\r\nhalf")
    parsing.reset()
    await parsing.parse(b"MSG b 1 2\r\nok\r\n")
    assert [frame[1] for frame in frames] == [b"b"]
