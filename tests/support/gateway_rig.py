"""A gateway with scripted services, all on free ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from libs.identity.authenticator import Authenticator
from libs.rpc import RpcServer
from libs.telemetry import TaskWatch
from services.gateway.app import serve
from services.gateway.settings import GatewaySettings
from tests.support.http_clients import http_client
from tests.support.rpc import KeyRing
from tests.support.stub_services import COMMAND_SERVICES, SESSION_SERVICES, Script, stub_server


@dataclass
class Rig:
    """A gateway with scripted services."""

    address: str
    client: httpx2.AsyncClient
    script: Script
    keys: KeyRing
    stop: asyncio.Event
    serving: "asyncio.Task[None]"
    session: RpcServer
    command: RpcServer
    known: dict[str, str] = field(default_factory=dict)

    def key(self, role: str) -> str:
        if role not in self.known:
            self.known[role] = self.keys.add(role).secret_text
        return self.known[role]

    def auth(self, role: str = "admin") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key(role)}"}

    async def call(
        self, method: str, path: str, role: str = "admin", headers: dict[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        return await self.client.request(method, path, headers={**self.auth(role), **(headers or {})}, **more)

    @asynccontextmanager
    async def stream(
        self, path: str, role: str = "viewer", headers: dict[str, str] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        accept = {"Accept": "text/event-stream", **self.auth(role), **(headers or {})}
        async with self.client.stream("GET", path, headers=accept) as response:
            yield response


@asynccontextmanager
async def gateway_rig(**settings: Any) -> AsyncIterator[Rig]:
    """Runs a gateway and scripted services on free ports."""
    script, keys = Script(), KeyRing()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(TaskWatch())
        authenticator = Authenticator(keys.find)
        session = await stack.enter_async_context(
            stub_server(script, SESSION_SERVICES, authenticator, tasks, with_identity=True)
        )
        command = await stack.enter_async_context(stub_server(script, COMMAND_SERVICES, authenticator, tasks))
        own = GatewaySettings(
            **{"http_port": 0, "session_address": session.address, "command_address": command.address, **settings}
        )
        stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(own, stop, on_ready=address.set_result))
        await asyncio.wait({serving, address}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        base = f"http://{address.result()}"
        async with http_client(base_url=base, timeout=20, headers={"Accept": "application/json"}) as client:
            try:
                yield Rig(address.result(), client, script, keys, stop, serving, session, command)
            finally:
                stop.set()
                await serving
