"""The suite that the recordings are played against, and what it answers: played once for all tests."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import structlog
from psycopg import sql

from tests.recordings.play import Answers, play_all
from tests.recordings.suite import running_suite
from tests.support.engines import TestPostgres, running_nats


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the answers of tests/recordings anew")


@pytest.fixture(scope="session")
def is_recording(pytestconfig: pytest.Config) -> bool:
    """Whether answers are to be written and not compared."""
    return bool(pytestconfig.getoption("record", default=False))


@pytest.fixture(scope="session")
def played(
    postgres: TestPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answers | Exception]:
    """The answers of every area."""
    name = f"recorded_{uuid4().hex}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(migrated_template)}
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {name} template {template}").format(**names))
    with _quiet():
        return asyncio.run(_play(postgres, name, tmp_path_factory.mktemp("recorded")))


async def _play(postgres: TestPostgres, database: str, folder: Path) -> dict[str, Answers | Exception]:
    urls = postgres.admin_url_of(database), postgres.app_url_of(database)
    async with running_nats(folder) as nats, running_suite(*urls, nats.url, folder) as suite:
        return await play_all(suite)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Has the suite log errors alone: thousands of lines would bury what differs."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)
