"""The story: an agent's session from start to stop, with everything that can happen to a command."""

import time
from collections import Counter
from secrets import token_hex
from typing import Any

from callboard import Client
from callboard.types import CommandOptionsInput, Event
from examples.demo.journal import Journal
from examples.demo.screen import Screen

_COUNT = 40
_OUTCOMES = ("command.completed", "command.dead_lettered", "command.cancelled")


class Story:
    """Plays on one suite. It ends and deletes everything that it creates, except the events."""

    def __init__(self, client: Client, screen: Screen) -> None:
        self._client = client
        self._screen = screen
        self._agent_id = f"demo-{token_hex(3)}"
        self._began = time.monotonic()

    async def play(self) -> None:
        """Play from start to end."""
        self._screen.step(f"An agent: {self._agent_id}, reached through the MCP server `trial`")
        await self._client.agents.create(
            self._agent_id, display_name="Demo", connector={"kind": "mcp", "server": "trial"}
        )
        try:
            await self._session()
        finally:
            await self._client.sessions.stop(agent_id=self._agent_id)
            await self._client.agents.delete(self._agent_id)

    async def _session(self) -> None:
        self._screen.step("Start its session, and follow the work stream from the first event")
        started = await self._client.sessions.start(self._agent_id)
        journal = Journal(self._client, started.session_id, self._screen.event)
        try:
            await journal.until("agent.connected")
            await self._work(journal)
            await self._retry(journal)
            await self._dead_letters(journal)
            await self._stop(journal)
            self._close(journal)
        finally:
            await journal.close()

    async def _work(self, journal: Journal) -> None:
        self._screen.step("A command is accepted, run and answered; each step is an event")
        await self._outcome(journal, await self._run("echo", {"text": "hello, Callboard"}))
        self._screen.step(f"A long command: `count` reports its progress up to {_COUNT}")
        command_id = await self._run("count", {"to": _COUNT})
        with self._screen.bar(command_id, _COUNT):
            await self._outcome(journal, command_id)

    async def _retry(self, journal: Journal) -> None:
        self._screen.step("A flaky tool fails twice, is retried with backoff, and works")
        options: CommandOptionsInput = {"max_attempts": 3, "backoff": 0.4}
        await self._outcome(journal, await self._run("flaky", {"key": token_hex(6), "failures": 2}, options))

    async def _dead_letters(self, journal: Journal) -> None:
        self._screen.step("A tool that fails and is not safe to repeat becomes a dead letter at once")
        failed = await self._run("fail", {"message": "the disk is full"})
        await self._outcome(journal, failed)
        await self._inspect(failed)
        await self._client.dead_letters.purge(failed)
        self._screen.note("purged; its events remain")
        self._screen.step(
            "A command without attempts left is a dead letter, too; it is requeued after the cause is fixed"
        )
        failed = await self._run("flaky", {"key": token_hex(6), "failures": 1}, {"max_attempts": 1})
        await self._outcome(journal, failed)
        await self._inspect(failed)
        requeued = await self._client.dead_letters.requeue(failed)
        await self._outcome(journal, requeued.command_id)

    async def _stop(self, journal: Journal) -> None:
        self._screen.step("Stop while a command runs: the command is cancelled, and the stream ends")
        command_id = await self._run("sleep", {"seconds": 600})
        await journal.until("command.started", command_id=command_id)
        await self._client.sessions.stop(agent_id=self._agent_id, reason="end of the demo")
        await journal.ended()

    async def _run(self, tool: str, arguments: dict[str, Any], options: CommandOptionsInput | None = None) -> str:
        """Submit a call of a tool, and return the command's id."""
        params = {"tool": tool, "arguments": arguments}
        accepted = await self._client.commands.submit(
            agent_id=self._agent_id, type="run_tool", params=params, options=options
        )
        return accepted.command_id

    async def _outcome(self, journal: Journal, command_id: str) -> Event:
        return await journal.until(*_OUTCOMES, command_id=command_id)

    async def _inspect(self, command_id: str) -> None:
        dead_letter = await self._client.dead_letters.get(command_id)
        attempts = f"{len(dead_letter.attempts)} attempt{'s' * (len(dead_letter.attempts) != 1)}"
        self._screen.note(
            f"dead letter {command_id[-6:]}: {dead_letter.reason} after {attempts}; its parameters are kept"
        )

    def _close(self, journal: Journal) -> None:
        numbers = [event.seq for event in journal.events]
        counts = Counter(event.type for event in journal.events)
        gapless = "without a gap" if numbers == list(range(1, len(numbers) + 1)) else "WITH GAPS"
        self._screen.table(
            "What happened",
            {
                "events": f"{len(numbers)}, numbered 1 to {numbers[-1]} {gapless}",
                "commands": f"{counts['command.enqueued']} accepted, {counts['command.completed']} completed, "
                f"{counts['command.dead_lettered']} dead letters, {counts['command.cancelled']} cancelled",
                "attempts": f"{counts['command.started']}, {counts['command.retrying']} of them retried",
                "time": f"{time.monotonic() - self._began:.1f} s",
            },
        )
