"""Connections to misbehaving servers, which record their processes and the lines that they read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.runner.executors.mcp.connection import McpConnection
from tests.support.mcp_servers import MISBEHAVING, connected, stdio


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """The file in which the test's misbehaving servers record."""
    return tmp_path / "record"


@pytest.fixture
async def odd(tmp_path: Path, record: Path) -> AsyncIterator[McpConnection]:
    """A connection to the same kind of server in its mode that behaves."""
    async with connected(tmp_path, stdio(MISBEHAVING, "plain", str(record))) as connection:
        yield connection


def exists(path: str) -> bool:
    """Whether a file or folder exists."""
    return Path(path).exists()
