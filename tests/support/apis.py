"""One interface to the API over gRPC and over REST, so that one test covers both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import httpx2
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from callboard import CallboardError
from callboard.agents.v1.agents_pb2 import (
    Agent,
    Connector,
    CreateAgentRequest,
    DeleteAgentRequest,
    GetAgentRequest,
    UpdateAgentRequest,
)
from callboard.commands.v1.commands_pb2 import CancelCommandRequest, PurgeDeadLetterRequest, RequeueDeadLetterRequest
from libs.rpc.stubs import Stubs
from services.gateway.app import serve
from services.gateway.settings import GatewaySettings
from tests.support.http_clients import http_client
from tests.support.suite import Suite

_Result = TypeVar("_Result")


class ApiError(Exception):
    """An error: its reason, its status in this protocol, and its metadata."""

    def __init__(self, reason: str, status: Any, metadata: Mapping[str, Any]) -> None:
        super().__init__(f"{reason}: {status} {metadata}")
        self.reason, self.status, self.metadata = reason, status, metadata


async def error_of(work: Awaitable[Any]) -> ApiError:
    """The error that some work must end with."""
    with pytest.raises(ApiError) as caught:
        await work
    return caught.value


class Api(Protocol):
    """Each operation takes an idempotency key. Equal answers have equal values."""

    async def cancel(self, command_id: str, key: str = "", reason: str = "") -> Any: ...
    async def requeue(self, command_id: str, key: str = "") -> Any: ...
    async def purge(self, command_id: str, key: str = "") -> Any: ...
    async def create_agent(self, agent_id: str, key: str = "", name: str = "") -> Any: ...
    async def rename_agent(self, agent_id: str, name: str, key: str = "", etag: str = "") -> Any: ...
    async def delete_agent(self, agent_id: str, key: str = "", etag: str = "") -> Any: ...
    async def agent(self, agent_id: str) -> tuple[str, str]:
        """The agent's name and etag."""
        ...


class GrpcApi:
    """Calls the services."""

    def __init__(self, client: Stubs) -> None:
        self._client = client

    async def cancel(self, command_id: str, key: str = "", reason: str = "") -> Any:
        request = CancelCommandRequest(command_id=command_id, reason=reason, request_id=key)
        return await _called(self._client.commands.CancelCommand(request))

    async def requeue(self, command_id: str, key: str = "") -> Any:
        request = RequeueDeadLetterRequest(command_id=command_id, request_id=key)
        return await _called(self._client.dead_letters.RequeueDeadLetter(request))

    async def purge(self, command_id: str, key: str = "") -> Any:
        request = PurgeDeadLetterRequest(command_id=command_id, request_id=key)
        return await _called(self._client.dead_letters.PurgeDeadLetter(request))

    async def create_agent(self, agent_id: str, key: str = "", name: str = "") -> Any:
        agent = Agent(agent_id=agent_id, display_name=name, connector=Connector(kind="echo"))
        return await _called(self._client.agents.CreateAgent(CreateAgentRequest(agent=agent, request_id=key)))

    async def rename_agent(self, agent_id: str, name: str, key: str = "", etag: str = "") -> Any:
        agent = Agent(agent_id=agent_id, display_name=name, connector=Connector(kind="echo"), etag=etag)
        mask = FieldMask(paths=["display_name"])
        request = UpdateAgentRequest(agent=agent, update_mask=mask, request_id=key)
        return await _called(self._client.agents.UpdateAgent(request))

    async def delete_agent(self, agent_id: str, key: str = "", etag: str = "") -> Any:
        request = DeleteAgentRequest(agent_id=agent_id, etag=etag, request_id=key)
        return await _called(self._client.agents.DeleteAgent(request))

    async def agent(self, agent_id: str) -> tuple[str, str]:
        found = (await _called(self._client.agents.GetAgent(GetAgentRequest(agent_id=agent_id)))).agent
        return found.display_name, found.etag


async def _called(call: Awaitable[_Result]) -> _Result:
    try:
        return await call
    except CallboardError as error:
        raise ApiError(error.reason, error.code.name, error.metadata) from error


class RestApi:
    """Calls the gateway."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def cancel(self, command_id: str, key: str = "", reason: str = "") -> Any:
        return await self._asked("POST", f"/commands/{command_id}/cancel", key, json={"reason": reason})

    async def requeue(self, command_id: str, key: str = "") -> Any:
        return await self._asked("POST", f"/dead-letters/{command_id}/requeue", key)

    async def purge(self, command_id: str, key: str = "") -> Any:
        return await self._asked("DELETE", f"/dead-letters/{command_id}", key)

    async def create_agent(self, agent_id: str, key: str = "", name: str = "") -> Any:
        body = {"agentId": agent_id, "displayName": name, "connector": {"kind": "echo"}}
        return await self._asked("POST", "/agents", key, json=body)

    async def rename_agent(self, agent_id: str, name: str, key: str = "", etag: str = "") -> Any:
        return await self._asked("PATCH", f"/agents/{agent_id}", key, etag, json={"displayName": name})

    async def delete_agent(self, agent_id: str, key: str = "", etag: str = "") -> Any:
        return await self._asked("DELETE", f"/agents/{agent_id}", key, etag)

    async def agent(self, agent_id: str) -> tuple[str, str]:
        _, found, headers = await self._asked("GET", f"/agents/{agent_id}")
        assert headers["etag"] == f'"{found["etag"]}"'
        return found["displayName"] or "", found["etag"]

    async def _asked(
        self, method: str, path: str, key: str = "", etag: str = "", json: Any = None
    ) -> tuple[int, Any, dict[str, str]]:
        headers = {"Idempotency-Key": key} if key else {}
        headers |= {"If-Match": f'"{etag}"'} if etag else {}
        answer = await self._http.request(method, f"/api/v1{path}", headers=headers, json=json)
        value: Any = answer.json() if answer.content else None
        assert answer.headers.get("idempotency-key", "") == key
        if answer.is_error:
            raise ApiError(value["reason"], answer.status_code, value)
        metadata = {name: answer.headers[name] for name in ("etag", "location") if name in answer.headers}
        return answer.status_code, value, metadata


@asynccontextmanager
async def rest_client(suite: Suite, key: str = "") -> AsyncIterator[httpx2.AsyncClient]:
    """Runs a gateway for the suite's services, and yields a client of it."""
    settings = GatewaySettings(
        http_port=0, session_address=suite.session_addresses[0], command_address=suite.command_addresses[0]
    )
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, stop, on_ready=address.set_result))
    await asyncio.wait({serving, address}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    headers = {"Authorization": f"Bearer {key or suite.key}", "Accept": "application/json"}
    base = f"http://{address.result()}"
    try:
        async with http_client(base_url=base, headers=headers, timeout=20) as http:
            yield http
    finally:
        stop.set()
        await serving
