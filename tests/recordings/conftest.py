"""How the recordings are played: `--record` records them, `--area` chooses some, and the suite logs only errors."""

import logging
from collections.abc import Iterator

import pytest
import structlog


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="record the answers of tests/recordings")
    parser.addoption("--area", action="append", default=[], help="play only this area of tests/recordings; repeatable")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Makes the suite log only errors: thousands of lines would hide the differences."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)
