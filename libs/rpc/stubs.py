"""Stubs of the services, for code that works with the contract's messages. Programs use `callboard.Client`."""

from types import TracebackType
from typing import Self

from callboard import CallboardError
from callboard.agents.v1 import agents_pb2_grpc
from callboard.commands.v1 import commands_pb2_grpc
from callboard.events.v1 import events_pb2_grpc
from callboard.sessions.v1 import sessions_pb2_grpc
from libs.rpc.channel import open_channel


class Stubs:
    """Stubs of all services for one key, with a connection to each service. Failed calls raise CallboardError."""

    def __init__(self, session_address: str, command_address: str, api_key: str) -> None:
        self._channels = [
            open_channel(address, token=api_key, translate=CallboardError.of)
            for address in (session_address, command_address)
        ]
        session, command = (channel.for_stubs() for channel in self._channels)
        self.agents = agents_pb2_grpc.AgentServiceStub(session)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(session)
        self.events = events_pb2_grpc.EventServiceStub(session)
        self.commands = commands_pb2_grpc.CommandServiceStub(command)
        self.dead_letters = commands_pb2_grpc.DeadLetterServiceStub(command)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections and cancel open calls."""
        for channel in self._channels:
            await channel.close()
