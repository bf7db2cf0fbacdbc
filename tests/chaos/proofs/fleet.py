"""The suite of a proof: agents whose tool runs until its gate opens, their sessions, and their commands."""

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration

from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.commands.v1.commands_pb2 import CommandOptions, CommandSpec, SubmitCommandRequest, SubmitCommandResponse
from services.runner.settings import RunnerSettings
from tests.chaos.calls import CALL_SECONDS, Caller
from tests.chaos.check import check
from tests.chaos.history import Violation
from tests.chaos.journal import Operations
from tests.chaos.proofs.effects import Effects
from tests.chaos.rig import Rig, running_rig
from tests.chaos.settle import SETTLE_SECONDS, connected, dump, leftovers, settle
from tests.chaos.workload import Workload

_FIELDS = RunnerSettings.model_fields
LEASE: float = _FIELDS["lease"].default
DEFAULTS = {f"CALLBOARD_{name.upper()}": str(_FIELDS[name].default) for name in ("lease", "heartbeat", "drain")}
"""The product's defaults. The rig's own values are shorter."""
SERVER = Path(__file__).with_name("quick_server.py")
_CONNECT_SECONDS = 60.0
_MAX_CONCURRENT = 50  # submits
_LEFT_SECONDS = 15.0  # time for the tools to end after all sessions have stopped
_BACKOFF = Duration(nanos=10_000_000)  # the shortest, because a proof does not measure the wait before a retry


class Fleet:
    """The client of a proof. It records all calls for the checker.

    The agents in `ignoring_cancels` have a server that is registered with `cancel = "kill"`.
    """

    def __init__(self, rig: Rig, agents: Sequence[str], seed: int, ignoring_cancels: Collection[str] = ()) -> None:
        self.rig = rig
        self.agents = agents
        self._ignoring_cancels = ignoring_cancels
        self.effects = Effects(rig.out / "effects.jsonl")
        self.operations = Operations(rig.out / "operations.jsonl")
        self.caller = Caller([rig.client(0), rig.client(1)], self.operations, random.Random(seed))
        self.workload = Workload(self.caller, seed, rate=0)
        self._limit = asyncio.Semaphore(_MAX_CONCURRENT)
        self._number = 0

    async def begin(self) -> None:
        """Create the agents, start their sessions, and wait until all are connected."""
        for agent in self.agents:
            server = "ignoring-cancels" if agent in self._ignoring_cancels else "quick"
            connector = Connector(kind="mcp", server=server)
            request = CreateAgentRequest(agent=Agent(agent_id=agent, connector=connector))
            await self.caller.clients[0].agents.CreateAgent(request, timeout=CALL_SECONDS)
        await asyncio.gather(*(self.workload.start(agent) for agent in self.agents))
        assert await connected(self.rig, _CONNECT_SECONDS), "not all agents were connected"

    async def submit(self, agent: str, **arguments: Any) -> str:
        """Submit a call of the tool `hold` with these arguments. Returns the command's id."""
        self._number += 1
        key = f"key-{self._number}"
        spec = CommandSpec(
            agent_id=agent, type="run_tool", params_json=json.dumps({"tool": "hold", "arguments": arguments}),
            correlation_id=key, request_id=key, options=CommandOptions(max_attempts=5, backoff=_BACKOFF),
        )  # fmt: skip
        async with self._limit:
            phase, answer = await self._send(spec)
        assert answer is not None, f"the submit of {key} ended with {phase}"
        return answer.command.command_id

    async def _send(self, spec: CommandSpec) -> tuple[str, SubmitCommandResponse | None]:
        request = SubmitCommandRequest(command=spec)
        return await self.caller.until_known(
            "submit",
            lambda client: client.commands.SubmitCommand(request, timeout=CALL_SECONDS),
            lambda answer: {"command_id": answer.command.command_id, "session_id": answer.command.session_id},
            key=spec.request_id, agent_id=spec.agent_id,
        )  # fmt: skip

    async def submit_round(self, agents: Sequence[str], many: int, **arguments: Any) -> list[str]:
        """Submit `many` commands, to these agents in turn."""
        return await asyncio.gather(*(self.submit(agents[n % len(agents)], **arguments) for n in range(many)))

    def gate(self, name: str) -> Path:
        """Return the file of a gate. The gate is closed until the file exists."""
        return self.rig.out / f"gate-{name}"

    async def conclude(self) -> list[Violation]:
        """Wait until all commands have ended, stop all sessions, save the run, and check it."""
        end = await settle(self.rig, SETTLE_SECONDS)
        await asyncio.gather(*(self.workload.stop(agent) for agent in self.agents))
        end["stopped"] = (await settle(self.rig, SETTLE_SECONDS))["settled"]
        end["caught_up"] = True  # there are no subscribers
        end |= await leftovers(self.rig, _LEFT_SECONDS)
        await dump(self.rig, self.rig.out)
        (self.rig.out / "end.json").write_text(json.dumps(end, indent=1) + "\n", encoding="utf-8")
        return check(self.rig.out)


@contextlib.asynccontextmanager
async def running_fleet(
    out: Path,
    agents: Sequence[str],
    seed: int,
    environment: Mapping[str, str],
    runners: int = 2,
    ignoring_cancels: Collection[str] = (),
) -> AsyncIterator[Fleet]:
    """Run a separate suite with these settings and connected agents, and save the run in the folder."""
    out.mkdir(parents=True, exist_ok=True)
    server_registry = out / "servers.toml"
    arguments = json.dumps(["-S", "-E", str(SERVER), str(out / "effects.jsonl")])
    entry = f'transport = "stdio"\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n'
    server_registry.write_text(
        f'[servers.quick]\n{entry}[servers.ignoring-cancels]\n{entry}cancel = "kill"\n', encoding="utf-8"
    )
    changed = {"CALLBOARD_SERVERS_FILE": str(server_registry), **environment}
    async with running_rig(out, proxied=False, environment=changed, runners=runners) as rig:
        fleet = Fleet(rig, agents, seed, ignoring_cancels)
        try:
            await fleet.begin()
            yield fleet
        finally:
            fleet.operations.close()
