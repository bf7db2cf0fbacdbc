"""Concurrent requests do not deadlock (concurrency, rule 3).

Locks are taken in one order: idempotency keys, sorted; then one partition; then the rest.
"""

import asyncio
import random
import time

import grpc
import psycopg

from callboard import CallboardError
from callboard.commands.v1.commands_pb2 import (
    BulkSubmitCommandsRequest,
    CancelCommandsRequest,
    CommandSpec,
    OpenCommandFilter,
)
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import make_agent, start, stop
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.suite import running_suite

AGENTS = [f"clock-{number}" for number in range(4)]
KEYS = [f"key-{number}" for number in range(40)]
SECONDS = 5.0


async def submit_keys(client: Stubs, draw: random.Random) -> None:
    """Submits commands with keys that other callers use too, in another order."""
    specs = [
        CommandSpec(
            agent_id=AGENTS[int(key.rpartition("-")[2]) % len(AGENTS)],
            type=draw.choice(["echo", "hang"]),
            request_id=key,
        )
        for key in draw.sample(KEYS, 20)
    ]
    await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=specs))


async def cancel_or_end(client: Stubs, draw: random.Random) -> None:
    """Cancels an agent's open commands, or ends its session."""
    agent = draw.choice(AGENTS)
    what = draw.random()
    if what < 0.5:
        await client.commands.CancelCommands(CancelCommandsRequest(filter=OpenCommandFilter(agent_id=agent)))
    elif what < 0.8:
        await client.sessions.RestartSession(RestartSessionRequest(agent_id=agent))
    else:
        await stop(client, agent_id=agent)
        await start(client, agent)


async def call_repeatedly(client: Stubs, seed: int) -> int:
    """Calls for a while and returns how many calls were answered. Errors of the services are expected."""
    draw, answered, ends = random.Random(seed), 0, time.monotonic() + SECONDS
    while time.monotonic() < ends:
        try:
            await (submit_keys(client, draw) if seed % 2 else cancel_or_end(client, draw))
        except CallboardError as error:
            if error.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}:
                raise
        else:
            answered += 1
    return answered


async def test_concurrent_submits_cancels_stops_and_restarts_do_not_deadlock(
    database_url: str, app_database_url: str, broker_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        # Shorter than the services' lock timeout, which would end the wait before a deadlock is counted.
        name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
        await admin.execute(f'alter database "{name}" set deadlock_timeout = 50'.encode())
        async with running_suite(database_url, app_database_url, broker_url, commands=2) as suite:
            for _ in range(2):
                await suite.runner(ScriptedExecutor())
            clients = [suite.client(), suite.client(command=1)]
            for agent in AGENTS:
                await make_agent(clients[0], agent)
                await start(clients[0], agent)
            answered = await asyncio.gather(*(call_repeatedly(clients[seed // 2 % 2], seed) for seed in range(12)))
            assert min(answered) > 0
        found = await admin.execute("select deadlocks from pg_stat_database where datname = current_database()")
        assert await found.fetchone() == (0,)
