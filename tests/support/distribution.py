"""Decides which worker of pytest-xdist runs which tests, and in what order: hooks of `tests/conftest.py`.

A worker takes one unit at a time: a file, so that fixtures of the file are made once, or all tests with the same
`pytest.mark.xdist_group(NAME)`. The slowest units start first, according to `pytest.mark.slow(SECONDS)`. Unit tests,
which take milliseconds each, come last. So no worker is left with a long test at the end.
"""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

_FAST = ("tests/unit/", "tests/house/")
_MOST_WORKERS = 8


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Distributes whole files, or groups of files, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """The file of a test, or its group, which xdist appends to the test's id after an `@`."""
    path, _, name = nodeid.partition("::")
    _, _, group = name.rpartition("]")[2].partition("@")
    return group or path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """Replaces xdist's own scheduler for `--dist loadgroup`, and no other."""
    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three workers for each core, because most of a test's time is waiting for a process, a lease or a timer.

    Measured on 2 cores: 4 workers leave them idle for 18 of 254 s, 6 workers for 3 of 244 s.
    """
    return min(_MOST_WORKERS, 3 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 6)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the units: the slowest first, the fastest last, the rest in the order of collection."""
    units = {unit: list(tests) for unit, tests in groupby(sorted(items, key=_unit), key=_unit)}
    positions = {unit: position for position, unit in enumerate(dict.fromkeys(map(_unit, items)))}
    order = sorted(units, key=lambda unit: (-_seconds(units[unit]), unit.startswith(_FAST), positions[unit]))
    items[:] = [item for unit in order for item in units[unit]]


def _unit(item: pytest.Item) -> str:
    group = item.get_closest_marker("xdist_group")
    return str(group.args[0]) if group else item.nodeid.partition("::")[0]


def _seconds(unit: list[pytest.Item]) -> float:
    """The approximate duration of a unit: the largest number in the marks of its tests."""
    marks = [item.get_closest_marker("slow") for item in unit]
    return max((float(mark.args[0]) for mark in marks if mark), default=0.0)
