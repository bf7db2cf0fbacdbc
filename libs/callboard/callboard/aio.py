"""The asynchronous client.

async with Client("127.0.0.1:7401", "127.0.0.1:7402", key) as client:
    session = await client.sessions.StartSession(StartSessionRequest(agent_id="clock"))
    async for streamed in client.follow_events(session_id=session.session.session_id):
        print(streamed.event.type)
"""

from collections.abc import AsyncGenerator, Sequence
from types import TracebackType

import grpc

from callboard.agents.v1 import agents_pb2_grpc
from callboard.channel import CallingChannel, bearer, channel_options
from callboard.commands.v1 import commands_pb2_grpc
from callboard.events.v1 import events_pb2, events_pb2_grpc
from callboard.failure import CallboardError, FieldViolation
from callboard.following import follow
from callboard.sessions.v1 import sessions_pb2_grpc

__all__ = ["CallboardError", "Client", "FieldViolation"]

_PATIENCE_SECONDS = 60.0


class Client:
    """Callboard's services as one key sees them, over plain text: for loopback, or a proxy that encrypts.

    The stubs take and return the contract's messages; their calls raise CallboardError.
    """

    def __init__(self, session_address: str, command_address: str, api_key: str) -> None:
        self._channels = [
            grpc.aio.insecure_channel(address, options=channel_options())
            for address in (session_address, command_address)
        ]
        session, command = (
            CallingChannel(channel, bearer(api_key), CallboardError.of).for_stubs() for channel in self._channels
        )
        self.agents = agents_pb2_grpc.AgentServiceStub(session)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(session)
        self.events = events_pb2_grpc.EventServiceStub(session)
        self.commands = commands_pb2_grpc.CommandServiceStub(command)
        self.dead_letters = commands_pb2_grpc.DeadLetterServiceStub(command)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls that are under way are cancelled."""
        for channel in self._channels:
            await channel.close()

    def follow_events(
        self,
        *,
        session_id: str | None = None,
        agent_id: str | None = None,
        cursor: str | None = None,
        start: events_pb2.StreamStart.ValueType = events_pb2.STREAM_START_UNSPECIFIED,
        types: Sequence[str] = (),
        levels: Sequence[events_pb2.EventLevel.ValueType] = (),
        patience: float = _PATIENCE_SECONDS,
    ) -> AsyncGenerator[events_pb2.StreamedEvent, None]:
        """Yield the events of a session or an agent, each once and in order, across broken connections.

        Each comes with the `cursor` to go on from after it. A session's events end after its closing one, an
        agent's never do. Raises CallboardError for what does not pass by itself, and when nothing was heard for
        `patience` seconds of trying.
        """
        request = events_pb2.StreamEventsRequest(cursor=cursor or "", start=start, types=types, levels=levels)
        if session_id is not None:
            request.session_id = session_id
        if agent_id is not None:
            request.agent_id = agent_id
        return follow(self.events.StreamEvents, request, patience)
