"""The end of a run: waits until everything has ended, and saves the tables for the checker."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.agents import HARMFUL_TOOLS
from tests.chaos.broker_faults import undelivered
from tests.chaos.journal import read_rows, write_rows
from tests.chaos.process_faults import tools
from tests.chaos.rig import Rig
from tests.chaos.subscribers import Subscriber

SETTLE_SECONDS = 60.0
"""How long everything may take to end after the last fault (D of the invariants)."""

_ACK_WAIT = 30.0
_MAX_TIMES = 10  # charged attempts end, so tools that do harm for longer than this are a violation

TABLES: dict[str, str] = {
    "commands": "select (to_jsonb(t) - 'params')"
    " || jsonb_build_object('result', left(t.result, 400)) from command.commands t",
    "attempts": "select to_jsonb(t) from command.attempts t",
    "dead_letters": "select to_jsonb(t) from command.dead_letters t",
    "ready": "select to_jsonb(t) from command.ready t",
    "keys": "select to_jsonb(t) - 'hash' from idempotency.keys t",
    "connections": "select to_jsonb(t) from command.connections t",
    "runners": "select to_jsonb(t) from command.runners t",
    "sessions": "select to_jsonb(t) - 'context' - 'metadata' from session.sessions t",
    "heads": "select to_jsonb(t) from session.heads t",
    "log": "select to_jsonb(t) - 'head' from session.log t",
    "events": "select to_jsonb(t) - 'payload' - 'link' || jsonb_build_object('payload', left(t.payload, 1000)) "
    "from session.events t order by t.partition, t.position",
}
_OPEN = (
    "select (select count(*) from command.commands where finished_at is null)"
    " + (select count(*) from command.ready) + (select count(*) from session.sessions where state = 'stopping')"
)
_HEADS = "select agent_id, session_id, last_seq from session.heads where agent_id = any (%s)"


async def until(check: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Poll until the check holds or the time is up. Returns whether it held. Database errors count as False."""
    ends = time.monotonic() + seconds
    while True:
        try:
            if await check():
                return True
        except psycopg.OperationalError:
            pass
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.2)


async def rows(rig: Rig, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Query the database as its owner."""
    async with await psycopg.AsyncConnection.connect(rig.admin_url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode(), parameters or None)
        return await cursor.fetchall()


async def connected(rig: Rig, seconds: float) -> bool:
    """Wait until the agent of every session is connected."""

    async def all_are() -> bool:
        return bool((await rows(rig, "select bool_and(state = 'connected') from command.connections"))[0][0])

    return await until(all_are, seconds)


async def settle(rig: Rig, seconds: float, healed: float | None = None) -> dict[str, Any]:
    """Wait until no command is open and no session is stopping. Returns {settled, settle_seconds}.

    The seconds count from the last fault. That is `healed` (monotonic clock, default now), or the moment when a tool
    last crashed, blocked or flooded its server, because later attempts of its command do that again.
    """

    async def nothing_is_open() -> bool:
        return bool((await rows(rig, _OPEN))[0][0] == 0)

    first = time.monotonic() if healed is None else healed
    settled, ends = False, first + seconds
    while not settled and time.monotonic() < ends:
        settled = await until(nothing_is_open, ends - time.monotonic())
        ends = min(max(first, _last_harm(rig.out)) + seconds, first + _MAX_TIMES * seconds)
    return {"settled": settled, "settle_seconds": round(time.monotonic() - max(first, _last_harm(rig.out)), 2)}


def _last_harm(out: Path) -> float:
    """Return when a tool last harmed its server, according to the effects log, or 0."""
    times = [line["time"] for line in read_rows(out / "effects.jsonl") if line["tool"] in HARMFUL_TOOLS]
    return max(times, default=0.0)


async def caught_up(subscribers: list[Subscriber], rig: Rig, seconds: float) -> bool:
    """Wait until every subscriber has seen the last event of each session of its agent."""

    async def all_have() -> bool:
        agents = sorted({subscriber.agent_id for subscriber in subscribers})
        found = await rows(rig, _HEADS, agents)
        return all(
            subscriber.heads.get(session_id, 0) >= last
            for subscriber in subscribers
            for agent_id, session_id, last in found
            if agent_id == subscriber.agent_id
        )

    return await until(all_have, seconds)


async def leftovers(rig: Rig, seconds: float) -> dict[str, Any]:
    """Return what is left after all sessions have ended: tool servers, and dispatches to live runners.

    A dispatch whose claim got no reply is delivered again after the consumer's ack_wait, and settled then.
    """

    async def no_tool_is_left() -> bool:
        return not tools(rig.out)

    async def all_is_delivered() -> bool:
        return not any(map(any, (await _deliveries(rig)).values()))

    await until(no_tool_is_left, seconds)
    await until(all_is_delivered, seconds + _ACK_WAIT)
    return {"tools": tools(rig.out), "consumers": await _deliveries(rig)}


async def _deliveries(rig: Rig) -> dict[str, list[int]]:
    """Return the numbers of pending and unacknowledged dispatches of each consumer whose runner is live."""
    living = [row[0].hex for row in await rows(rig, "select runner_id from command.runners where dead_at is null")]
    found = await undelivered(rig)
    return {name: counts for name, counts in found.items() if any(runner in name for runner in living)}


async def dump(rig: Rig, out: Path) -> None:
    """Write the rows of the tables, one file for each table."""
    for name, query in TABLES.items():
        write_rows(out / f"{name}.jsonl", (row[0] for row in await rows(rig, query)))
