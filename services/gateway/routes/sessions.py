"""Routes of sessions."""

from callboard.sessions.v1 import sessions_pb2
from libs.errors import Reason
from services.gateway.models import sessions as models
from services.gateway.routes.operation import VERSION, Answer, Asked, Operation, Reply
from services.gateway.translation import sessions

_TAG = "Sessions"
_SERVICE = "callboard.sessions.v1.SessionService"


def _session(response: sessions_pb2.GetSessionResponse, _: Asked) -> Reply:
    return Reply(200, sessions.session_json(response.session), {"ETag": f'"{response.session.etag}"'})


LIST = Operation(
    name="listSessions",
    method="GET",
    path=f"{VERSION}/agent-sessions",
    tag=_TAG,
    summary="List sessions, newest first",
    rpc=f"{_SERVICE}.ListSessions",
    query=models.SessionQuery,
    request=lambda asked: sessions.list_request(asked.query),
    reply=lambda response, _: Reply(200, sessions.sessions_json(response)),
    answers={200: Answer("A page of sessions.", models.SessionList)},
)
GET = Operation(
    name="getSession",
    method="GET",
    path=f"{VERSION}/agent-sessions/{{sessionId}}",
    tag=_TAG,
    summary="Get a session",
    rpc=f"{_SERVICE}.GetSession",
    request=lambda asked: sessions_pb2.GetSessionRequest(session_id=asked.path["sessionId"]),
    reply=_session,
    answers={200: Answer("The session.", models.Session, ("ETag",))},
    errors=(Reason.SESSION_NOT_FOUND,),
)
OPERATIONS = (LIST, GET)
