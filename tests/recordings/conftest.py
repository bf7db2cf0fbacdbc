"""How the recordings are played: `--record` writes them anew, and the suite is quiet."""

import logging
from collections.abc import Iterator

import pytest
import structlog


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the answers of tests/recordings anew")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Has the suite log errors alone: thousands of lines would bury what differs."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)
