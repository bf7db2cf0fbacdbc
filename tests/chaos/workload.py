"""W1 and W2: submits at a steady rate to ten agents, some for long tools, with occasional restarts of sessions."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.duration_pb2 import Duration

from callboard.agents.v1.agents_pb2 import Agent, CreateAgentRequest
from callboard.commands.v1.commands_pb2 import (
    CancelCommandRequest,
    CommandOptions,
    CommandSpec,
    SubmitCommandRequest,
    SubmitCommandResponse,
)
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest, StartSessionRequest, StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.chaos.agents import AGENTS, ECHOING, Tool, connector_of, drawn_tool
from tests.chaos.calls import CALL_SECONDS, Caller

_MAX_CONCURRENT = 400
_WARM_UP_COMMANDS = 30  # for each agent
CHANGE_SECONDS = 2.0  # between two changes of a session


@dataclass
class Workload:
    """Submits commands until stopped. `seed` determines the commands and their order."""

    caller: Caller
    seed: int
    rate: float
    """Submits a second."""
    change_seconds: float = CHANGE_SECONDS
    """Seconds between two changes of a session."""
    agents: list[str] = field(default_factory=lambda: AGENTS)
    odd_tools: tuple[Tool, ...] = ()
    """Tools that are called occasionally, with their arguments."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    number: int = 0
    last_starts: dict[str, str] = field(default_factory=dict)
    """The key of the last start of each agent's session."""

    async def prepare(self) -> None:
        """Create the agents and start their sessions."""
        for agent in self.agents:
            request = CreateAgentRequest(agent=Agent(agent_id=agent, connector=connector_of(agent)))
            await self.caller.clients[0].agents.CreateAgent(request, timeout=CALL_SECONDS)
        await self.start_all()

    async def start_all(self) -> None:
        """Start the session of every agent."""
        await asyncio.gather(*(self.start(agent) for agent in self.agents))

    async def stop_all(self) -> None:
        """Stop the session of every agent."""
        await asyncio.gather(*(self.stop(agent) for agent in self.agents))

    async def warm_up(self) -> None:
        """Run quick commands with every agent, to fill pools and caches before the processes are measured."""
        await asyncio.gather(
            *(self._send(self._quick(agent)) for agent in self.agents for _ in range(_WARM_UP_COMMANDS))
        )

    def _quick(self, agent: str) -> CommandSpec:
        self.number += 1
        type_, params = (
            ("echo", {}) if agent in ECHOING else ("run_tool", {"tool": "work", "arguments": {"seconds": 0}})
        )
        key = f"key-{self.number}"
        return CommandSpec(
            agent_id=agent, type=type_, params_json=json.dumps(params), correlation_id=key, request_id=key
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Submit at the rate and change sessions until `stopping` is set. Then wait for all answers."""
        draw, loop = random.Random(self.seed), asyncio.get_running_loop()
        due = changed = loop.time()
        while not stopping.is_set():
            if len(self.tasks) < _MAX_CONCURRENT:
                self._spawn(self.submit(draw))
            if loop.time() - changed > self.change_seconds:
                changed = loop.time()
                self._spawn(self._change_session(draw.choice(self.agents), draw))
            due = max(due + 1 / self.rate, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> None:
        self.tasks.add(task := asyncio.ensure_future(work))
        task.add_done_callback(self.tasks.discard)

    def submit(self, draw: random.Random) -> Awaitable[None]:
        """Submit one command with a new key. A tenth is repeated, some are repeated with another body, and some are
        cancelled, before or after the submit."""
        self.number += 1
        return self._submit(self._spec(f"key-{self.number}", draw), draw.random())

    async def _submit(self, spec: CommandSpec, fate: float) -> None:
        if 0.15 <= fate < 0.17:
            await self._cancel_to_come(spec.request_id)
        phase, answer = await self._send(spec)
        if phase != "ok" or answer is None:
            return
        if fate < 0.1:
            await self._send(spec)
        elif fate < 0.12:
            other = CommandSpec()
            other.CopyFrom(spec)
            other.params_json = json.dumps({"other": True})
            await self._send(other, other_body=True)
        elif fate < 0.15:
            await self._cancel(answer.command.command_id)

    async def _send(self, spec: CommandSpec, **fields: Any) -> tuple[str, SubmitCommandResponse | None]:
        request = SubmitCommandRequest(command=spec)
        return await self.caller.until_known(
            "submit",
            lambda client: client.commands.SubmitCommand(request, timeout=CALL_SECONDS),
            lambda answer: {
                "command_id": answer.command.command_id,
                "session_id": answer.command.session_id,
                "enqueued_at": answer.command.enqueued_at.ToJsonString(),
            },
            key=spec.request_id, agent_id=spec.agent_id, **fields,
        )  # fmt: skip

    async def _cancel(self, command_id: str) -> None:
        request = CancelCommandRequest(command_id=command_id, grace=Duration(seconds=1))
        await self.caller.once(
            "cancel",
            lambda client: client.commands.CancelCommand(request, timeout=CALL_SECONDS),
            lambda answer: {"state": answer.command.state},
            command_id=command_id,
        )

    async def _cancel_to_come(self, key: str) -> None:
        request = CancelCommandRequest(submit_request_id=key)
        await self.caller.until_known(
            "cancel",
            lambda client: client.commands.CancelCommand(request, timeout=CALL_SECONDS),
            lambda answer: {"state": answer.command.state},
            submit_key=key,
        )

    def _spec(self, key: str, draw: random.Random) -> CommandSpec:
        agent = draw.choice(self.agents if draw.random() < 0.4 else ECHOING)
        options = CommandOptions(
            max_attempts=draw.choice([2, 3, 5]), timeout=Duration(seconds=6), backoff=Duration(nanos=200_000_000),
            max_backoff=Duration(seconds=1), ordering_key=draw.choice(["", "", "", f"o{draw.randrange(3)}"]),
        )  # fmt: skip
        type_, params = self._work(agent, draw)
        return CommandSpec(
            agent_id=agent,
            type=type_,
            params_json=json.dumps(params),
            correlation_id=key,
            request_id=key,
            options=options,
        )

    def _work(self, agent: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
        if agent in ECHOING:
            if draw.random() < 0.5:
                return "echo", {"n": self.number}
            return "sleep", {"seconds": draw.choice([draw.uniform(0, 0.5), draw.uniform(0, 4)])}
        tool, arguments = drawn_tool(agent, draw, self.odd_tools)
        return "run_tool", {"tool": tool, "arguments": arguments}

    async def start(self, agent: str, again: str = "") -> str:
        """Start the agent's session, with an earlier key if one is given. Returns the outcome."""
        key = again or self._new_key("start")
        self.last_starts[agent] = key
        request = StartSessionRequest(agent_id=agent, request_id=key)
        return await self._change("start", agent, key, lambda c: c.sessions.StartSession(request, timeout=CALL_SECONDS))

    async def stop(self, agent: str) -> str:
        """Stop the agent's session. Returns the outcome."""
        key = self._new_key("stop")
        request = StopSessionRequest(agent_id=agent, request_id=key)
        return await self._change("stop", agent, key, lambda c: c.sessions.StopSession(request, timeout=CALL_SECONDS))

    async def restart(self, agent: str) -> str:
        """Restart the agent's session. Returns the outcome."""
        key = self._new_key("restart")
        request = RestartSessionRequest(agent_id=agent, request_id=key)
        return await self._change(
            "restart", agent, key, lambda c: c.sessions.RestartSession(request, timeout=CALL_SECONDS)
        )

    async def _change(self, kind: str, agent: str, key: str, call: Callable[[Stubs], Awaitable[Any]]) -> str:
        phase, _ = await self.caller.until_known(
            kind, call, lambda answer: {"session_id": answer.session.session_id, "state": answer.session.state,
                                        "previous": getattr(getattr(answer, "previous", None), "session_id", "")},
            key=key, agent_id=agent,
        )  # fmt: skip
        return phase

    def _new_key(self, kind: str) -> str:
        self.number += 1
        return f"{kind}-{self.number}"

    async def _change_session(self, agent: str, draw: random.Random) -> None:
        if draw.random() < 0.5:
            await self.restart(agent)
        else:
            await self.stop(agent)
            if draw.random() < 0.8:  # returns the earlier answer, whatever happened to the session since
                await self.start(agent, again=self.last_starts[agent])
            await self.start(agent)
