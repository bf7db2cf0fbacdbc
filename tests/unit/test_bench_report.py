"""The reports of the benchmark."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.report import BEGIN, END, Run, cells, markdown, number, put_between_marks, show
from bench.stats import Aim, Row

ROWS = [
    Row("call", "durable call", "ms", [1.5, 1.4], [0.8, 0.8], "gRPC + commit", Aim(2.0, "less"), "other 3.4 ms"),
    Row("rest", "REST | gRPC", "/s", error="ChildError", aim=Aim(0.9, "more")),
    Row("memory", "idle sessions", "MiB", [4.0]),
]
RUN = Run("2026-01-02T03:04:05+00:00", "default", 300.0, 2, {"python": "3.11.0", "postgres": "18.4"}, ROWS)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ms", "–"),
        (12345.6, "/s", "12,346/s"),
        (12.34, "ms", "12.3 ms"),
        (0.834, "", "0.83"),
        (-4.8, "KiB", "-4.80 KiB"),
    ],
)
def test_numbers_are_shown_with_significant_digits(value: float | None, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_row_shows_whether_its_aim_was_met() -> None:
    assert cells(ROWS[0]) == [
        "durable call", "0.80 ms (gRPC + commit)", "1.45 ms", "1.81", "≤ 2 × floor", "met", "other 3.4 ms",
    ]  # fmt: skip
    assert cells(ROWS[1])[2:6] == ["ChildError", "–", "≥ 0.9 × floor", "failed"]
    assert cells(ROWS[2])[1:6] == ["–", "4.00 MiB", "–", "–", ""]


def test_markdown_table_has_a_line_for_each_row() -> None:
    lines = markdown(RUN).splitlines()
    assert lines[0] == "Measured 2026-01-02 on 2 cores with `python -m bench` (default); python 3.11.0, postgres 18.4."
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(ROWS)
    assert r"REST \| gRPC" in table[3]
    assert {line.replace(r"\|", "").count("|") for line in table} == {8}


def test_table_replaces_the_text_between_the_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = put_between_marks(page, "new\n")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert put_between_marks(once, "new\n") == once
    with pytest.raises(ValueError, match="needs the lines"):
        put_between_marks("no marks", "new\n")


def test_run_round_trips_through_its_file(tmp_path: Path) -> None:
    file = tmp_path / "out" / "run.json"
    RUN.write(file)
    assert Run.read(file) == RUN


def test_terminal_table_shows_every_row() -> None:
    shown = StringIO()
    show(RUN, Console(width=160, file=shown))
    text = shown.getvalue()
    assert all(row.title in text for row in ROWS)
    assert "met" in text
    assert "failed" in text
