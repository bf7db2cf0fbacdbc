"""The gRPC servicer of sessions."""

from dataclasses import asdict
from functools import partial
from operator import attrgetter

from callboard.sessions.v1 import sessions_pb2, sessions_pb2_grpc
from libs.calls import list_scope, read_page
from libs.idempotency import key_of
from libs.rpc import Context, Service, actor, current_caller
from services.session.sessions.convert import (
    filter_of,
    session_message,
    spec_of,
)
from services.session.sessions.model import SessionSpec
from services.session.sessions.ports import SessionStore, StopRequest
from services.session.sessions.service import STOP_GRACE, Lifecycle, Sessions

_KEYSET = {"at": attrgetter("created_at"), "uid": attrgetter("session_uid")}


class SessionServicer(sessions_pb2_grpc.SessionServiceServicer):
    """Converts and delegates. The interceptor has validated and authorised each request."""

    def __init__(self, lifecycle: Lifecycle, sessions: Sessions) -> None:
        self._lifecycle = lifecycle
        self._sessions = sessions

    async def StartSession(
        self, request: sessions_pb2.StartSessionRequest, context: Context
    ) -> sessions_pb2.StartSessionResponse:
        """Start a session, or return the live one."""
        spec = spec_of(request.spec, "spec")
        key = key_of("start", request)
        if request.on_conflict == sessions_pb2.ON_CONFLICT_RESTART:
            stop = StopRequest(request.agent_id, "", "", STOP_GRACE, key, successor=spec)
            session, _ = await self._lifecycle.restart(actor(), stop)
            return sessions_pb2.StartSessionResponse(session=session_message(session), created=True)
        session, created = await self._lifecycle.start(
            actor(),
            request.agent_id,
            spec,
            fail_on_conflict=request.on_conflict == sessions_pb2.ON_CONFLICT_FAIL,
            key=key,
        )
        return sessions_pb2.StartSessionResponse(session=session_message(session), created=created)

    async def StopSession(
        self, request: sessions_pb2.StopSessionRequest, context: Context
    ) -> sessions_pb2.StopSessionResponse:
        """Stop a session."""
        stop = StopRequest(request.agent_id, request.session_id, request.reason, STOP_GRACE, key_of("stop", request))
        session = await self._lifecycle.stop(actor(), stop)
        return sessions_pb2.StopSessionResponse(session=session_message(session) if session else None)

    async def RestartSession(
        self, request: sessions_pb2.RestartSessionRequest, context: Context
    ) -> sessions_pb2.RestartSessionResponse:
        """Restart an agent's session."""
        inherit = not request.HasField("spec")
        spec = SessionSpec() if inherit else spec_of(request.spec, "spec")
        stop = StopRequest(
            request.agent_id,
            "",
            request.reason,
            STOP_GRACE,
            key_of("restart", request),
            successor=spec,
            inherit=inherit,
        )
        session, previous = await self._lifecycle.restart(actor(), stop)
        return sessions_pb2.RestartSessionResponse(
            session=session_message(session), previous=session_message(previous) if previous else None
        )

    async def GetSession(
        self, request: sessions_pb2.GetSessionRequest, context: Context
    ) -> sessions_pb2.GetSessionResponse:
        """Return a session."""
        session = await self._sessions.get(current_caller().tenant_id, request.session_id)
        return sessions_pb2.GetSessionResponse(session=session_message(session))

    async def ListSessions(
        self, request: sessions_pb2.ListSessionsRequest, context: Context
    ) -> sessions_pb2.ListSessionsResponse:
        """Return a page of sessions."""
        wanted = filter_of(request)
        find = partial(self._sessions.find, current_caller().tenant_id, wanted)
        page = await read_page(list_scope("sessions", asdict(wanted)), request, _KEYSET, find)
        return sessions_pb2.ListSessionsResponse(
            sessions=[session_message(session) for session in page.items], next_page_token=page.next_token
        )


def session_service(lifecycle: Lifecycle, sessions: SessionStore) -> Service:
    """Return the service for a server."""
    return Service(
        "callboard.sessions.v1.SessionService",
        sessions_pb2_grpc.add_SessionServiceServicer_to_server,
        SessionServicer(lifecycle, Sessions(sessions)),
    )
