"""Routes of agents, and of starting and stopping them."""

from typing import Any

from callboard.agents.v1 import agents_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.errors import Reason
from services.gateway.models import agents as models
from services.gateway.models import sessions as session_models
from services.gateway.models.shape import Page
from services.gateway.routes.operation import VERSION, Answer, Asked, Operation, Reply
from services.gateway.translation import agents, sessions

_TAG = "Agents"
_AGENTS = "callboard.agents.v1.AgentService"
_SESSIONS = "callboard.sessions.v1.SessionService"
_ONE = f"{VERSION}/agents/{{agentId}}"
_OLD = "/api/agents/{agentId}"


def _agent(agent: agents_pb2.Agent, status: int = 200) -> Reply:
    headers = {"ETag": f'"{agent.etag}"'}
    if status == 201:
        headers["Location"] = f"{VERSION}/agents/{agent.agent_id}"
    return Reply(status, agents.agent_json(agent), headers)


def _started(response: sessions_pb2.StartSessionResponse, _: Asked) -> Reply:
    if not response.created:
        return Reply(200, sessions.started_json(response.session))
    return Reply(201, sessions.started_json(response.session), _place(response.session))


def _restarted(response: sessions_pb2.RestartSessionResponse, _: Asked) -> Reply:
    return Reply(201, sessions.restarted_json(response), _place(response.session))


def _place(session: sessions_pb2.Session) -> dict[str, str]:
    return {"Location": f"{VERSION}/agent-sessions/{session.session_id}"}


def _stop_request(asked: Asked) -> Any:
    return sessions_pb2.StopSessionRequest(
        agent_id=asked.path["agentId"], reason=asked.body.reason or "", request_id=asked.request_id
    )


CREATE = Operation(
    name="createAgent",
    method="POST",
    path=f"{VERSION}/agents",
    tag=_TAG,
    summary="Create an agent",
    rpc=f"{_AGENTS}.CreateAgent",
    body=models.NewAgent,
    request=lambda asked: agents.create_request(asked.body, asked.request_id),
    reply=lambda response, _: _agent(response.agent, 201),
    answers={201: Answer("The agent was created.", models.Agent, ("ETag", "Location"))},
    errors=(Reason.AGENT_EXISTS, Reason.SERVER_NOT_REGISTERED),
)
LIST = Operation(
    name="listAgents",
    method="GET",
    path=f"{VERSION}/agents",
    tag=_TAG,
    summary="List agents, ordered by id",
    rpc=f"{_AGENTS}.ListAgents",
    query=Page,
    request=lambda asked: agents_pb2.ListAgentsRequest(
        page_size=asked.query.page_size or 0, page_token=asked.query.page_token or ""
    ),
    reply=lambda response, _: Reply(200, agents.agents_json(response)),
    answers={200: Answer("A page of agents.", models.AgentList)},
)
GET = Operation(
    name="getAgent",
    method="GET",
    path=_ONE,
    tag=_TAG,
    summary="Get an agent",
    rpc=f"{_AGENTS}.GetAgent",
    request=lambda asked: agents_pb2.GetAgentRequest(agent_id=asked.path["agentId"]),
    reply=lambda response, _: _agent(response.agent),
    answers={200: Answer("The agent.", models.Agent, ("ETag",))},
    errors=(Reason.AGENT_NOT_FOUND,),
)
UPDATE = Operation(
    name="updateAgent",
    method="PATCH",
    path=_ONE,
    tag=_TAG,
    summary="Change an agent; live sessions keep the connector that they were started with",
    rpc=f"{_AGENTS}.UpdateAgent",
    body=models.AgentChange,
    conditional=True,
    request=lambda asked: agents.update_request(asked.path["agentId"], asked.body, asked.etag, asked.request_id),
    reply=lambda response, _: _agent(response.agent),
    answers={200: Answer("The agent as it is now.", models.Agent, ("ETag",))},
    errors=(Reason.AGENT_NOT_FOUND, Reason.SERVER_NOT_REGISTERED),
)
DELETE = Operation(
    name="deleteAgent",
    method="DELETE",
    path=_ONE,
    tag=_TAG,
    summary="Delete an agent that has no live session",
    rpc=f"{_AGENTS}.DeleteAgent",
    conditional=True,
    request=lambda asked: agents_pb2.DeleteAgentRequest(
        agent_id=asked.path["agentId"], etag=asked.etag, request_id=asked.request_id
    ),
    reply=lambda _, __: Reply(204),
    answers={204: Answer("The agent is gone.")},
    errors=(Reason.AGENT_NOT_FOUND, Reason.AGENT_IN_USE),
)
START = Operation(
    name="startAgent",
    method="POST",
    path=f"{_ONE}/start",
    aliases=(f"{_OLD}/start",),
    tag=_TAG,
    summary="Start a session of an agent",
    rpc=f"{_SESSIONS}.StartSession",
    body=session_models.Start,
    body_required=False,
    request=lambda asked: sessions.start_request(asked.path["agentId"], asked.body, asked.request_id),
    reply=_started,
    answers={
        201: Answer("The session was started.", session_models.Started, ("Location",)),
        200: Answer("The session that was live already.", session_models.Started),
    },
    errors=(Reason.AGENT_NOT_FOUND, Reason.SESSION_EXISTS, Reason.SESSION_STOPPING, Reason.SERVER_NOT_REGISTERED),
)
STOP = Operation(
    name="stopAgent",
    method="POST",
    path=f"{_ONE}/stop",
    aliases=(f"{_OLD}/stop",),
    tag=_TAG,
    summary="Stop an agent's live session; nothing to stop is a success",
    rpc=f"{_SESSIONS}.StopSession",
    body=session_models.Stop,
    body_required=False,
    request=_stop_request,
    reply=lambda response, _: Reply(200, sessions.stopped_json(response)),
    answers={200: Answer("The session was stopped, or there was none.", session_models.Stopped)},
    errors=(Reason.AGENT_NOT_FOUND, Reason.SESSION_AMBIGUOUS),
)
RESTART = Operation(
    name="restartAgent",
    method="POST",
    path=f"{_ONE}/restart",
    aliases=(f"{_OLD}/restart",),
    tag=_TAG,
    summary="End an agent's live session, if there is one, and start its successor",
    rpc=f"{_SESSIONS}.RestartSession",
    body=session_models.Restart,
    body_required=False,
    request=lambda asked: sessions.restart_request(asked.path["agentId"], asked.body, asked.request_id),
    reply=_restarted,
    answers={201: Answer("The next session was started.", session_models.Restarted, ("Location",))},
    errors=(
        Reason.AGENT_NOT_FOUND,
        Reason.SESSION_EXISTS,
        Reason.SESSION_STOPPING,
        Reason.SESSION_AMBIGUOUS,
        Reason.SERVER_NOT_REGISTERED,
    ),
)
OPERATIONS = (CREATE, LIST, GET, UPDATE, DELETE, START, STOP, RESTART)
