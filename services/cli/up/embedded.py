"""Starts Postgres and NATS, or uses the servers of DATABASE_URL and NATS_URL."""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field

import nats.errors
import psycopg
from nats.aio.client import Client
from nats.js.errors import APIError, ServiceUnavailableError

from libs.embedded import (
    NatsServer,
    PostgresServer,
    Supervisor,
)
from services.cli.errors import SettingError
from services.cli.home import Home
from services.cli.up.settings import UpSettings

_ANSWER_SECONDS = 5
_OLDEST_POSTGRES = 18


@dataclass(frozen=True)
class Engines:
    """The URLs of the servers. `admin_url` is for migrations and keys, the others are for the services."""

    admin_url: str = field(repr=False)
    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)


async def start_engines(supervisor: Supervisor, settings: UpSettings, home: Home, held: ExitStack) -> Engines:
    """Start the servers that are not given, and check the given ones.

    `held` keeps their data locked until they have stopped. Raises EngineError and SettingError.
    """
    admin_url, database_url = await _database(supervisor, settings, home, held)
    return Engines(admin_url, database_url, await _broker(supervisor, settings, home, held))


async def _database(supervisor: Supervisor, settings: UpSettings, home: Home, held: ExitStack) -> tuple[str, str]:
    if settings.database_url:
        await asyncio.to_thread(_check_database, settings.database_url)
        return settings.database_url, settings.database_url
    server = held.enter_context(PostgresServer(home.path))
    await asyncio.to_thread(server.prepare)
    await supervisor.start(server.spec)
    await asyncio.to_thread(server.provision)
    return server.admin_url, server.app_url


async def _broker(supervisor: Supervisor, settings: UpSettings, home: Home, held: ExitStack) -> str:
    if settings.nats_url:
        await _check_broker(settings.nats_url)
        return settings.nats_url
    server = held.enter_context(NatsServer(home.path))
    server.prepare()
    await supervisor.start(server.spec)
    return server.url


def _check_database(url: str) -> None:
    try:
        with psycopg.connect(url, connect_timeout=_ANSWER_SECONDS) as connection:
            version = connection.info.server_version // 10_000
    except psycopg.Error as error:
        raise SettingError("DATABASE_URL", f"the database does not answer: {str(error).strip()}") from error
    if version < _OLDEST_POSTGRES:
        raise SettingError("DATABASE_URL", f"Postgres {version} is too old: {_OLDEST_POSTGRES} is needed")


async def _check_broker(url: str) -> None:
    reasons: list[str] = []

    async def note(error: Exception) -> None:
        reasons.append(str(error) or type(error).__name__)

    client = Client()
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            # 0 would mean no limit
            await client.connect(
                url, error_cb=note, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0
            )
            await client.jetstream().account_info()
    except ServiceUnavailableError as error:
        raise SettingError("NATS_URL", "the server has no JetStream") from error
    except (OSError, TimeoutError, nats.errors.Error, APIError) as error:
        await note(error)
        raise SettingError("NATS_URL", f"the broker does not answer: {reasons[0]}") from error
    finally:
        await client.close()  # also after an error, which leaves the socket open
