"""Runs `callboard call` with scripted services, in the test's process or in another."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from libs.identity.authenticator import Authenticator
from libs.telemetry import TaskWatch
from services.cli.calls import run
from tests.support.rpc import KeyRing
from tests.support.stub_services import COMMAND_SERVICES, SESSION_SERVICES, Script, stub_server
from tests.support.terminal import Done, Terminal


@dataclass
class CallRig:
    """Scripted services, and the environment in which the command finds them."""

    script: Script
    keys: KeyRing
    environment: dict[str, str]

    @property
    def terminal(self) -> Terminal:
        return Terminal(self.environment)

    async def run(self, *arguments: str | bytes, text: str = "", **environment: str) -> Done:
        """Runs `callboard call` as a process."""
        return await self.terminal.run("call", *arguments, text=text, **environment)

    async def call(self, method: str, request: dict[str, Any], **options: Any) -> list[Any]:
        """Calls a method from this process, and returns its responses as `callboard call` would print them."""
        return await call(self.environment, method, request, **options)


async def call(environment: Mapping[str, str], method: str, request: dict[str, Any], **options: Any) -> list[Any]:
    """Calls as `callboard call` in this environment does, and returns the responses as it would print them."""
    prepared = run.prepare(environment, method, json.dumps(request), run.CallOptions(**options))
    async with aclosing(run.responses_of(environment, prepared)) as responses:
        return [orjson.loads(orjson.dumps(prepared.method.write(one))) async for one in responses]


@asynccontextmanager
async def call_rig(home: Path) -> AsyncIterator[CallRig]:
    """Runs both scripted services."""
    script, keys = Script(), KeyRing()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(TaskWatch())
        authenticator = Authenticator(keys.find)
        session, command = [
            await stack.enter_async_context(stub_server(script, names, authenticator, tasks, with_identity=True))
            for names in (SESSION_SERVICES, COMMAND_SERVICES)
        ]
        environment = {
            "CALLBOARD_HOME": str(home), "CALLBOARD_SESSION_ADDRESS": session.address,
            "CALLBOARD_COMMAND_ADDRESS": command.address, "CALLBOARD_KEY": keys.add("admin").secret_text,
        }  # fmt: skip
        yield CallRig(script, keys, environment)
