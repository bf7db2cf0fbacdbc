"""The end of a run: everything healed, the load gone, and what is left to be written down for the checker."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.agents import HURTFUL_TOOLS
from tests.chaos.broker_faults import undelivered
from tests.chaos.journal import read_rows, write_rows
from tests.chaos.process_faults import tools
from tests.chaos.rig import Rig
from tests.chaos.subscribers import Subscriber

SETTLE_SECONDS = 60.0
"""How long after the last fault everything may take to end (D of the invariants)."""

_ACK_WAIT = 30.0
_MOST_TIMES = 10  # what is charged ends: tools that hurt for longer than this are a violation by themselves

TABLES: dict[str, str] = {
    "commands": "select (to_jsonb(t) - 'params')"
    " || jsonb_build_object('result', left(t.result, 400)) from command.commands t",
    "attempts": "select to_jsonb(t) from command.attempts t",
    "dead_letters": "select to_jsonb(t) from command.dead_letters t",
    "ready": "select to_jsonb(t) from command.ready t",
    "command_keys": "select to_jsonb(t) - 'hash' from command.idempotency t",
    "connections": "select to_jsonb(t) from command.connections t",
    "runners": "select to_jsonb(t) from command.runners t",
    "sessions": "select to_jsonb(t) - 'context' - 'metadata' from session.sessions t",
    "heads": "select to_jsonb(t) from session.heads t",
    "log": "select to_jsonb(t) - 'head' from session.log t",
    "session_keys": "select to_jsonb(t) - 'hash' from session.idempotency t",
    "events": "select to_jsonb(t) - 'payload' - 'link' || jsonb_build_object('payload', left(t.payload, 1000)) "
    "from session.events t order by t.partition, t.position",
}
_OPEN = (
    "select (select count(*) from command.commands where finished_at is null)"
    " + (select count(*) from command.ready) + (select count(*) from session.sessions where state = 'stopping')"
)
_HEADS = "select agent_id, session_id, last_seq from session.heads where agent_id = any (%s)"


async def until(check: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Asks until the answer is yes or the time is up; says which. Errors of the database count as no."""
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
    """Asks the database as its owner."""
    async with await psycopg.AsyncConnection.connect(rig.admin_url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode(), parameters or None)
        return await cursor.fetchall()


async def connected(rig: Rig, seconds: float) -> bool:
    """Waits until the agent of every session is connected."""

    async def all_are() -> bool:
        return bool((await rows(rig, "select bool_and(state = 'connected') from command.connections"))[0][0])

    return await until(all_are, seconds)


async def settle(rig: Rig, seconds: float, healed: float | None = None) -> dict[str, Any]:
    """Waits until no command is open and no session is stopping; returns {settled, settle_seconds}.

    The seconds count from the last fault: the moment when all was healed (of the monotonic clock; now when it is not
    given), or when a tool last ended, blocked or flooded its server, which its command's attempts do after that too.
    """

    async def nothing_is_open() -> bool:
        return bool((await rows(rig, _OPEN))[0][0] == 0)

    first = time.monotonic() if healed is None else healed
    settled, ends = False, first + seconds
    while not settled and time.monotonic() < ends:
        settled = await until(nothing_is_open, ends - time.monotonic())
        ends = min(max(first, _last_hurt(rig.out)) + seconds, first + _MOST_TIMES * seconds)
    return {"settled": settled, "settle_seconds": round(time.monotonic() - max(first, _last_hurt(rig.out)), 2)}


def _last_hurt(out: Path) -> float:
    """When a tool last hurt its server, by the effects log; 0 when none did."""
    times = [line["time"] for line in read_rows(out / "effects.jsonl") if line["tool"] in HURTFUL_TOOLS]
    return max(times, default=0.0)


async def caught_up(subscribers: list[Subscriber], rig: Rig, seconds: float) -> bool:
    """Waits until every subscriber has seen the last event of each session of its agent."""

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
    """What is there still once all sessions have ended: tool servers, and dispatches at the runners that live.

    A dispatch whose claim was not answered is delivered again after the consumer's ack_wait, and settled then.
    """

    async def no_tool_is_left() -> bool:
        return not tools(rig.out)

    async def all_is_delivered() -> bool:
        return not any(map(any, (await _deliveries(rig)).values()))

    await until(no_tool_is_left, seconds)
    await until(all_is_delivered, seconds + _ACK_WAIT)
    return {"tools": tools(rig.out), "consumers": await _deliveries(rig)}


async def _deliveries(rig: Rig) -> dict[str, list[int]]:
    """The pending and the unacknowledged dispatches of each consumer whose runner lives."""
    living = [row[0].hex for row in await rows(rig, "select runner_id from command.runners where dead_at is null")]
    found = await undelivered(rig)
    return {name: counts for name, counts in found.items() if any(runner in name for runner in living)}


async def dump(rig: Rig, out: Path) -> None:
    """Writes the tables' rows, one file each."""
    for name, query in TABLES.items():
        write_rows(out / f"{name}.jsonl", (row[0] for row in await rows(rig, query)))
