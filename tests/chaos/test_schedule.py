"""A schedule depends only on its seed."""

from pathlib import Path

import pytest

from tests.chaos.faults import ACTIONS
from tests.chaos.schedule import RECIPES, Schedule, plan

ALL = list(RECIPES)


def test_schedule_depends_on_the_seed() -> None:
    assert plan(7, ALL, 300) == plan(7, ALL, 300)
    assert plan(7, ALL, 300) != plan(8, ALL, 300)


def test_schedule_round_trips_through_its_file(tmp_path: Path) -> None:
    made = plan(7, ALL, 300)
    made.save(tmp_path / "schedule.json")
    assert Schedule.load(tmp_path / "schedule.json") == made


@pytest.mark.parametrize("fault", ALL)
@pytest.mark.parametrize("seed", range(4))
def test_each_fault_has_steps_within_its_time(fault: str, seed: int) -> None:
    steps = plan(seed, [fault], 20).steps
    assert steps
    for step in steps:
        assert step.fault == fault
        assert step.action in ACTIONS
        assert 0 <= step.at < 20
