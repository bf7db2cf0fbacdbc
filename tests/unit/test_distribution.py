"""Tests are distributed by file, the slowest first (`tests.support.distribution`)."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tests.support.distribution import pytest_collection_modifyitems, unit_of


@dataclass
class Item:
    """A collected test, as far as the sorting needs it."""

    nodeid: str
    marks: dict[str, Any] = field(default_factory=dict)

    def get_closest_marker(self, name: str) -> Any:
        return getattr(pytest.mark, name)(self.marks[name]).mark if name in self.marks else None


def _sorted(*items: Item) -> list[str]:
    found = list(items)
    pytest_collection_modifyitems(cast(list[pytest.Item], found))
    return [item.nodeid for item in found]


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/e2e/test_up.py::test_a", "tests/e2e/test_up.py"),
        ("tests/e2e/test_up.py::TestIt::test_a[one]", "tests/e2e/test_up.py"),
        ("tests/e2e/test_up.py::test_a[user@host::x]", "tests/e2e/test_up.py"),
        ("tests/e2e/test_up.py::test_a@shared", "shared"),
        ("tests/e2e/test_up.py::test_a[user@host]@shared", "shared"),
    ],
)
def test_worker_gets_a_whole_file_or_a_whole_group(nodeid: str, unit: str) -> None:
    assert unit_of(nodeid) == unit


def test_slowest_file_starts_first_and_unit_tests_last() -> None:
    assert _sorted(
        Item("tests/chaos/test_a.py::test_1"),
        Item("tests/unit/test_b.py::test_1"),
        Item("tests/contract/test_c.py::test_1"),
        Item("tests/contract/test_c.py::test_2", {"slow": 12}),
        Item("tests/e2e/test_d.py::test_1", {"slow": 90}),
    ) == [
        "tests/e2e/test_d.py::test_1",
        "tests/contract/test_c.py::test_1",
        "tests/contract/test_c.py::test_2",
        "tests/chaos/test_a.py::test_1",
        "tests/unit/test_b.py::test_1",
    ]


def test_tests_of_a_group_stay_together_and_in_order() -> None:
    group = {"xdist_group": "suite", "slow": 5}
    assert _sorted(
        Item("tests/e2e/test_a.py::test_1", group),
        Item("tests/e2e/test_b.py::test_1"),
        Item("tests/e2e/test_c.py::test_1", group),
        Item("tests/e2e/test_a.py::test_2", group),
    ) == [
        "tests/e2e/test_a.py::test_1",
        "tests/e2e/test_c.py::test_1",
        "tests/e2e/test_a.py::test_2",
        "tests/e2e/test_b.py::test_1",
    ]
