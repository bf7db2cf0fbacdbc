"""The synchronous client."""

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Self

from callboard.calls import SyncCalls
from callboard.connection import TIMEOUT_SECONDS, find_connection
from callboard.following import PATIENCE_SECONDS, Following, StreamedEvent, follow_sync
from callboard.resources.synchronous import Agents, Commands, DeadLetters, Events, Identity, Readiness, Sessions
from callboard.types import EventLevel, StreamStart


class SyncClient:
    """A client of Callboard's services, without asyncio.

        with SyncClient(api_key) as client:
            session = client.sessions.start("clock")
            client.commands.submit(agent_id="clock", type="run_tool", params={"tool": "get_current_time"})
            for event in client.follow(session_id=session.session_id):
                print(event.seq, event.type, event.payload)

    Calls raise CallboardError. A call that reached no server is retried until its deadline. Calls that change something
    have an idempotency key, which the client generates if none is given, so that they take effect once.

    Connections are plain text. Use them on loopback or with a proxy that encrypts. Threads may share a client; an
    iterator belongs to one thread at a time. It does not survive a fork: create it in the child, for example in a
    worker's start-up hook.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        session_address: str | None = None,
        command_address: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Create a client. It connects at the first call.

        Args:
            api_key: The key to call with; CALLBOARD_KEY when not given.
            session_address: The session service's host:port; CALLBOARD_SESSION_ADDRESS or 127.0.0.1:7401 when not
                given.
            command_address: The command service's host:port; CALLBOARD_COMMAND_ADDRESS or 127.0.0.1:7402 when not
                given.
            timeout: The time limit of each call in seconds, retries included, unless the call sets its own.
        """
        found = find_connection(api_key, session_address, command_address)
        self._session = session = SyncCalls(found.session_address, found.api_key, timeout)
        self._command = command = SyncCalls(found.command_address, found.api_key, timeout)
        self.agents = Agents(session)
        self.sessions = Sessions(session)
        self.events = Events(session)
        self.commands = Commands(command)
        self.dead_letters = DeadLetters(command)
        self.identity = Identity(session)
        self.session_readiness = Readiness(session)
        self.command_readiness = Readiness(command)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and cancel open calls."""
        self._session.close()
        self._command.close()

    def follow(
        self,
        *,
        session_id: str | None = None,
        agent_id: str | None = None,
        cursor: str | None = None,
        start: StreamStart | None = None,
        types: Sequence[str] = (),
        levels: Sequence[EventLevel] = (),
        patience: float = PATIENCE_SECONDS,
    ) -> Generator[StreamedEvent, None, None]:
        """Yield the events of a session or an agent, each once and in order, across broken connections.

        A session's events end after its closing event. An agent's never end. Raises CallboardError for permanent
        errors, and when no server has answered for `patience` seconds. A caller that leaves early closes the generator
        (`close`), which ends the stream.

        Args:
            session_id: The session to follow.
            agent_id: The agent to follow, across its sessions, when no session is named.
            cursor: Resume after this cursor, of an event of the same session or agent. It overrides `start`.
            start: Where to begin without a cursor. The default is a session's first event, and an agent's next one.
            types: Only these types. A trailing `.*` means a family, as in `command.*`.
            levels: Only these levels.
            patience: How many seconds to retry while no server answers.
        """
        following = Following(
            session_id=session_id, agent_id=agent_id, cursor=cursor, start=start, types=types, levels=levels,
            patience=patience,
        )  # fmt: skip
        return follow_sync(self._session, following)
