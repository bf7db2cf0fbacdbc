"""A schedule is a matter of its seed alone."""

from pathlib import Path

import pytest

from tests.chaos.faults import ACTIONS
from tests.chaos.schedule import RECIPES, Schedule, plan

ALL = list(RECIPES)


def test_the_same_seed_gives_the_same_schedule_and_another_one_another() -> None:
    assert plan(7, ALL, 300) == plan(7, ALL, 300)
    assert plan(7, ALL, 300) != plan(8, ALL, 300)


def test_a_saved_schedule_is_read_back_as_it_was(tmp_path: Path) -> None:
    made = plan(7, ALL, 300)
    made.save(tmp_path / "schedule.json")
    assert Schedule.load(tmp_path / "schedule.json") == made


@pytest.mark.parametrize("fault", ALL)
@pytest.mark.parametrize("seed", range(4))
def test_each_fault_does_something_within_its_time(fault: str, seed: int) -> None:
    steps = plan(seed, [fault], 20).steps
    assert steps
    for step in steps:
        assert step.fault == fault
        assert step.action in ACTIONS
        assert 0 <= step.at < 20
