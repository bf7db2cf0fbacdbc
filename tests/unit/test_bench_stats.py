"""What the bench makes of its samples."""

import pytest

from bench.stats import Aim, Row, median, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 2.0, 3.0], 0.5, 2.5),
        ([1.0, 2.0, 3.0], 0.0, 1.0),
        ([1.0, 2.0, 3.0], 1.0, 3.0),
        ([0.0, 10.0], 0.95, 9.5),
    ],
)
def test_percentile_lies_between_the_neighbours(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_no_values_have_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        median([])


@pytest.mark.parametrize(
    ("aim", "ours", "floor", "verdict"),
    [
        (Aim(2.0, "less"), 2.0, 1.0, "met"),
        (Aim(2.0, "less"), 2.1, 1.0, "missed"),
        (Aim(0.8, "more"), 80.0, 100.0, "met"),
        (Aim(0.8, "more"), 79.0, 100.0, "missed"),
        (Aim(0.8, "more"), 79.0, None, "nothing to hold it against"),
        (Aim(2850, "more", of_floor=False), 2851.0, None, "met"),
        (Aim(2850, "more", of_floor=False), 2849.0, 1.0, "missed"),
    ],
)
def test_an_aim_is_held_against_the_floor_or_stands_by_itself(
    aim: Aim, ours: float, floor: float | None, verdict: str
) -> None:
    assert {True: "met", False: "missed", None: "nothing to hold it against"}[aim.is_met(ours, floor)] == verdict


def test_the_aim_reads_as_people_write_it() -> None:
    assert Aim(0.35, "more").text == "≥ 0.35 × floor"
    assert Aim(2850, "more", of_floor=False).text == "≥ 2,850"


def test_the_ratio_is_that_of_the_medians() -> None:
    row = Row("x", "X", "ms", ours=[2.0, 9.0, 3.0], floors=[1.0, 2.0, 8.0], aim=Aim(2.0, "less"))
    assert row.ratio == 1.5
    assert row.met is True


def test_a_row_without_samples_claims_nothing() -> None:
    row = Row("x", "X", "ms", aim=Aim(2.0, "less"), error="TimeoutError")
    assert (row.ours_median, row.floor_median, row.ratio, row.met) == (None, None, None, None)


def test_json_brings_a_row_back() -> None:
    row = Row("x", "X", "/s", ours=[1.0], floors=[2.0], floor_title="bare", aim=Aim(0.5, "more"), peers="other 3/s")
    assert Row.from_json(row.to_json()) == row
    assert row.to_json()["ratio"] == 0.5
