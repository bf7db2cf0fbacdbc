"""A bare HTTP server: a Starlette route that makes the gRPC call, under uvicorn with uvloop and httptools."""

import os

import grpc
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callboard.commands.v1.commands_pb2 import CommandSpec, SubmitCommandRequest
from callboard.commands.v1.commands_pb2_grpc import CommandServiceStub


class Submit:
    """Reads the body, submits the command, and answers with its ids."""

    def __init__(self) -> None:
        self._stub: CommandServiceStub | None = None

    async def __call__(self, request: Request) -> Response:
        if self._stub is None:
            self._stub = CommandServiceStub(grpc.aio.insecure_channel(os.environ["BENCH_COMMAND_ADDRESS"]))
        body = orjson.loads(await request.body())
        spec = CommandSpec(
            agent_id=request.path_params["agent"], type=body["type"], params_json=orjson.dumps(body["params"]).decode()
        )  # fmt: skip
        metadata = (("authorization", request.headers["authorization"]),)
        command = (await self._stub.SubmitCommand(SubmitCommandRequest(command=spec), metadata=metadata)).command
        answer = {
            "commandId": command.command_id, "correlationId": command.correlation_id, "agentId": command.agent_id,
            "sessionId": command.session_id, "enqueuedAt": command.enqueued_at.ToJsonString(),
        }  # fmt: skip
        return Response(orjson.dumps(answer), 202, media_type="application/json")


async def _ready(_: Request) -> Response:
    return Response(b"ok")


def main() -> None:
    """Serve until SIGTERM."""
    submit = Submit()

    async def endpoint(request: Request) -> Response:
        return await submit(request)

    routes = [Route("/ready", _ready), Route("/{agent}", endpoint, methods=["POST"])]
    host, _, port = os.environ["BENCH_ADDRESS"].rpartition(":")
    uvicorn.run(
        Starlette(routes=routes), host=host, port=int(port), loop="uvloop", http="httptools", log_level="warning",
        access_log=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
