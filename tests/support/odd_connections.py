"""Connections to odd servers, which write down what they are and what they read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.runner.executors.mcp.connection import McpConnection
from tests.support.mcp_servers import ODD, connected, stdio


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """The file in which the test's odd servers write."""
    return tmp_path / "record"


@pytest.fixture
async def odd(tmp_path: Path, record: Path) -> AsyncIterator[McpConnection]:
    """A connection to an odd server that behaves."""
    async with connected(tmp_path, stdio(ODD, "plain", str(record))) as connection:
        yield connection


def exists(path: str) -> bool:
    """Whether there is such a file or directory."""
    return Path(path).exists()
