"""The gRPC servicer of agents."""

from functools import partial
from operator import attrgetter

from callboard.agents.v1 import agents_pb2, agents_pb2_grpc
from libs.calls import list_scope, read_page
from libs.idempotency import key_of
from libs.rpc import Context, Service, current_caller
from services.session.agents.convert import (
    agent_message,
    agent_of,
    version_of,
)
from services.session.agents.service import Agents

_SCOPE = list_scope("agents", {})
_KEYSET = {"after": attrgetter("agent_id")}


class AgentServicer(agents_pb2_grpc.AgentServiceServicer):
    """Converts and delegates. The interceptor has validated and authorised each request."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    async def CreateAgent(
        self, request: agents_pb2.CreateAgentRequest, context: Context
    ) -> agents_pb2.CreateAgentResponse:
        """Create an agent."""
        agent = agent_of(request.agent)
        stored = await self._agents.create(current_caller().tenant_id, agent, key_of("create_agent", request))
        return agents_pb2.CreateAgentResponse(agent=agent_message(stored))

    async def GetAgent(self, request: agents_pb2.GetAgentRequest, context: Context) -> agents_pb2.GetAgentResponse:
        """Return an agent."""
        agent = await self._agents.get(current_caller().tenant_id, request.agent_id)
        return agents_pb2.GetAgentResponse(agent=agent_message(agent))

    async def ListAgents(
        self, request: agents_pb2.ListAgentsRequest, context: Context
    ) -> agents_pb2.ListAgentsResponse:
        """Return a page of agents."""
        find = partial(self._agents.find, current_caller().tenant_id)
        page = await read_page(_SCOPE, request, _KEYSET, find)
        return agents_pb2.ListAgentsResponse(
            agents=[agent_message(agent) for agent in page.items], next_page_token=page.next_token
        )

    async def UpdateAgent(
        self, request: agents_pb2.UpdateAgentRequest, context: Context
    ) -> agents_pb2.UpdateAgentResponse:
        """Change an agent."""
        stored = await self._agents.update(
            current_caller().tenant_id,
            agent_of(request.agent),
            set(request.update_mask.paths),
            version_of(request.agent.etag),
            key_of("update_agent", request),
        )
        return agents_pb2.UpdateAgentResponse(agent=agent_message(stored))

    async def DeleteAgent(
        self, request: agents_pb2.DeleteAgentRequest, context: Context
    ) -> agents_pb2.DeleteAgentResponse:
        """Delete an agent."""
        await self._agents.delete(
            current_caller().tenant_id,
            request.agent_id,
            version_of(request.etag),
            key_of("delete_agent", request),
        )
        return agents_pb2.DeleteAgentResponse()


def agent_service(agents: Agents) -> Service:
    """Return the service for a server."""
    return Service(
        "callboard.agents.v1.AgentService",
        agents_pb2_grpc.add_AgentServiceServicer_to_server,
        AgentServicer(agents),
    )
