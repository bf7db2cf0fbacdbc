"""Decides which worker of pytest-xdist runs which tests, and in what order: hooks of `tests/conftest.py`.

A worker takes one unit at a time: a file, so that what its tests share is made once, or all tests that carry the same
`pytest.mark.xdist_group(NAME)`. The units that take longest start first, as `pytest.mark.slow(SECONDS)` says; the unit
tests, which take milliseconds each, come last. So no worker is alone with a long test at the end.
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
    """Hands out whole files, or groups of files, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """The file of a test, or the group that xdist has written behind an `@` at the end of the test's id."""
    path, _, name = nodeid.partition("::")
    _, _, group = name.rpartition("]")[2].partition("@")
    return group or path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """Takes the place of xdist's own scheduler for `--dist loadgroup`; other ways to distribute are left alone."""
    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two workers for each core: half of the time a test waits for a process, a lease or a timer."""
    return min(_MOST_WORKERS, 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the units: the slowest first, the fastest last, the rest as they were collected."""
    units = {unit: list(tests) for unit, tests in groupby(sorted(items, key=_unit), key=_unit)}
    places = {unit: place for place, unit in enumerate(dict.fromkeys(map(_unit, items)))}
    order = sorted(units, key=lambda unit: (-_seconds(units[unit]), unit.startswith(_FAST), places[unit]))
    items[:] = [item for unit in order for item in units[unit]]


def _unit(item: pytest.Item) -> str:
    group = item.get_closest_marker("xdist_group")
    return str(group.args[0]) if group else item.nodeid.partition("::")[0]


def _seconds(unit: list[pytest.Item]) -> float:
    """About how long a unit takes: the largest of what the marks of its tests say."""
    marks = [item.get_closest_marker("slow") for item in unit]
    return max((float(mark.args[0]) for mark in marks if mark), default=0.0)
