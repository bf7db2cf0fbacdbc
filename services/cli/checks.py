"""Checks once whether a service answers.

Containers run `python -m services.cli.checks grpc HOST:PORT` or `... http HOST:PORT PATH`. Exit code 0 means yes.
"""

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_ANSWER_SECONDS = 3.0


async def grpc_serves(address: str) -> bool:
    """Return whether the gRPC server at host:port reports SERVING."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=_ANSWER_SECONDS
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def http_ok(address: str, path: str) -> bool:
    """Return whether a GET of the path at host:port returns 200."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await _status(host.strip("[]"), int(port), path) == 200
    except (OSError, TimeoutError, ValueError):
        return False


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        _version, status, *_phrase = (await reader.readline()).split(b" ", 2)
        return int(status)
    finally:
        writer.close()


def main(arguments: list[str]) -> int:
    """Check once, and return the exit code."""
    match arguments:
        case ["grpc", address]:
            answers = asyncio.run(grpc_serves(address))
        case ["http", address, path]:
            answers = asyncio.run(http_ok(address, path))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
