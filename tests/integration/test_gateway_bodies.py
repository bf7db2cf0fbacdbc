"""Large and unfinished bodies are rejected at once, and read further so that clients see the response."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.gateway_rig import Rig, gateway_rig

MIB = 1024 * 1024
PATH = "/api/v1/agents/clock/command"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with gateway_rig() as made:
        yield made


class Wire:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *lines: str, body: bytes = b"") -> None:
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def head(self) -> str:
        async with asyncio.timeout(5):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def rest(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.read()


@pytest.fixture
async def wire(rig: Rig) -> AsyncIterator[Wire]:
    host, _, port = rig.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    yield Wire(reader, writer)
    writer.close()


@pytest.mark.parametrize("size", [MIB + 1, 4 * MIB, 8 * MIB - 1])
@pytest.mark.parametrize("chunked", [False, True])
async def test_client_with_a_body_up_to_8_mib_sees_the_413(rig: Rig, size: int, chunked: bool) -> None:  # noqa: FBT001
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 65536):
            yield b"x" * min(65536, size - start)

    content: Any = pieces() if chunked else b"x" * size
    answer = await rig.call("POST", PATH, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    problem = answer.json()
    assert (problem["reason"], problem["limitBytes"]) == ("PAYLOAD_TOO_LARGE", "1048576")
    assert "1048576" in problem["detail"]
    assert rig.script.count("SubmitCommand") == 0


async def test_body_of_exactly_1_mib_is_accepted(rig: Rig) -> None:
    body = b'{"type":"a","params":{"x":"' + b"y" * (MIB - 30) + b'"}}'
    body += b" " * (MIB - len(body))
    answer = await rig.call("POST", PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202


async def test_endless_body_is_cut_off_after_8_mib(rig: Rig, wire: Wire) -> None:
    wire.send(
        f"POST {PATH} HTTP/1.1", "Host: x", f"Authorization: {rig.auth()['Authorization']}",
        "Content-Type: application/json", "Transfer-Encoding: chunked",
    )  # fmt: skip
    sent = 0

    async def endless() -> None:
        nonlocal sent
        while sent < 256 * MIB:
            wire.writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await wire.writer.drain()
            sent += 65536

    async with asyncio.timeout(20):
        with pytest.raises(ConnectionError):
            await endless()
    assert 8 * MIB <= sent < 64 * MIB  # what is in the sockets' buffers counts too


async def test_key_is_checked_before_the_body_is_read(wire: Wire) -> None:
    wire.send(f"POST {PATH} HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 1000")
    head = await wire.head()
    assert head.startswith("HTTP/1.1 401")
    assert "connection: close" in head


async def test_client_with_expect_continue_is_not_asked_for_a_too_large_body(rig: Rig, wire: Wire) -> None:
    wire.send(
        f"POST {PATH} HTTP/1.1", "Host: x", f"Authorization: {rig.auth()['Authorization']}",
        "Content-Type: application/json", f"Content-Length: {5 * MIB}", "Expect: 100-continue",
    )  # fmt: skip
    assert (await wire.head()).startswith("HTTP/1.1 413")
    assert b"PAYLOAD_TOO_LARGE" in await wire.rest()


async def test_client_with_expect_continue_is_asked_for_its_body(rig: Rig, wire: Wire) -> None:
    body = b'{"type": "a"}'
    wire.send(
        f"POST {PATH} HTTP/1.1", "Host: x", f"Authorization: {rig.auth()['Authorization']}",
        "Content-Type: application/json", f"Content-Length: {len(body)}", "Expect: 100-continue",
    )  # fmt: skip
    assert (await wire.head()).startswith("HTTP/1.1 100")
    wire.writer.write(body)
    assert (await wire.head()).startswith("HTTP/1.1 202")


async def test_connection_stays_open_after_a_rejection_whose_body_was_read(rig: Rig, wire: Wire) -> None:
    for _ in range(2):
        wire.send(
            f"POST {PATH} HTTP/1.1", "Host: x", f"Authorization: {rig.auth()['Authorization']}",
            "Content-Type: application/json", "Content-Length: 2", body=b"{}",
        )  # fmt: skip
        head = await wire.head()
        assert head.startswith("HTTP/1.1 400")
        length = next(line for line in head.splitlines() if line.startswith("content-length"))
        await wire.reader.readexactly(int(length.split()[1]))


async def test_endless_header_is_cut_off(wire: Wire) -> None:
    async def endless() -> None:
        while not wire.reader.at_eof():
            wire.writer.write(b"x" * 65536)
            await wire.writer.drain()

    wire.writer.write(b"GET / HTTP/1.1\r\nX: ")
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            await endless()


async def test_bytes_that_are_not_http_get_400(wire: Wire) -> None:
    wire.writer.write(b"hello\r\n\r\n")
    assert (await wire.head()).startswith("HTTP/1.1 400")
