"""The statistics of the benchmark."""

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
def test_percentile_interpolates_between_neighbours(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_median_of_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        median([])


@pytest.mark.parametrize(
    ("aim", "ours", "floor", "verdict"),
    [
        (Aim(2.0, "less"), 2.0, 1.0, "met"),
        (Aim(2.0, "less"), 2.1, 1.0, "missed"),
        (Aim(0.8, "more"), 80.0, 100.0, "met"),
        (Aim(0.8, "more"), 79.0, 100.0, "missed"),
        (Aim(0.8, "more"), 79.0, None, "nothing to compare with"),
        (Aim(2850, "more", of_floor=False), 2851.0, None, "met"),
        (Aim(2850, "more", of_floor=False), 2849.0, 1.0, "missed"),
    ],
)
def test_aim_is_compared_with_the_floor_or_with_a_fixed_value(
    aim: Aim, ours: float, floor: float | None, verdict: str
) -> None:
    assert {True: "met", False: "missed", None: "nothing to compare with"}[aim.is_met(ours, floor)] == verdict


def test_aim_is_formatted_for_people() -> None:
    assert Aim(0.35, "more").text == "≥ 0.35 × floor"
    assert Aim(2850, "more", of_floor=False).text == "≥ 2,850"


def test_ratio_compares_the_medians() -> None:
    row = Row("x", "X", "ms", ours=[2.0, 9.0, 3.0], floors=[1.0, 2.0, 8.0], aim=Aim(2.0, "less"))
    assert row.ratio == 1.5
    assert row.met is True


def test_row_without_samples_has_no_figures() -> None:
    row = Row("x", "X", "ms", aim=Aim(2.0, "less"), error="TimeoutError")
    assert (row.ours_median, row.floor_median, row.ratio, row.met) == (None, None, None, None)


def test_row_round_trips_through_json() -> None:
    row = Row("x", "X", "/s", ours=[1.0], floors=[2.0], floor_title="bare", aim=Aim(0.5, "more"), peers="other 3/s")
    assert Row.from_json(row.to_json()) == row
    assert row.to_json()["ratio"] == 0.5
