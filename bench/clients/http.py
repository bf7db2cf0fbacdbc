"""A minimal HTTP/1.1 client: POSTs JSON over keep-alive connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _post(connection: Connection, request: bytes) -> int:
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    for line in fields.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
    return int(status.split(b" ", 2)[1])


@asynccontextmanager
async def posting(
    address: str, path: str, body: bytes, key: str, connections: int
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Yield a call that posts the body over any free connection and expects a 2xx status."""
    host, _, port = address.rpartition(":")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    free: asyncio.Queue[Connection] = asyncio.Queue()
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(connections)]
    for connection in opened:
        free.put_nowait(connection)

    async def post(_: int) -> None:
        connection = await free.get()
        status = await _post(connection, request)
        free.put_nowait(connection)
        if status // 100 != 2:
            raise RuntimeError(f"POST {path} was answered with {status}")

    try:
        yield post
    finally:
        for _, writer in opened:
            writer.close()
