"""The player reports every difference between a story and the answers."""

from pathlib import Path
from typing import Any

import pytest

from tests.stories.player import DiffersError, Names, fill, match, play, shell


@pytest.mark.parametrize(
    ("want", "got"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": "@any"}, {"a": None}),
        ({"a": "@string"}, {"a": "x"}),
        ({"a": "@number"}, {"a": 1.5}),
        ({"a": "@time"}, {"a": "2026-01-31T09:30:00.123456Z"}),
        ({"a": "@id"}, {"a": "x" * 128}),
        ({"a": "@null"}, {"a": None}),
        ({"a": "@absent"}, {}),
        ({"a": "@has:key:"}, {"a": ["key:1"]}),
        ({"a": "@min:2"}, {"a": 2}),
        ({"a": "@len:2"}, {"a": [1, 2]}),
        ([{"a": 1}, "{known}"], [{"a": 1, "b": 2}, "value"]),
    ],
)
def test_matching_answer_passes(want: Any, got: Any) -> None:
    match(want, got, {"known": "value"})


@pytest.mark.parametrize(
    ("want", "got"),
    [
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": True}, {"a": 1}),
        ({"a": 1}, []),
        ({"a": "@string"}, {"a": ""}),
        ({"a": "@string"}, {"a": 1}),
        ({"a": "@number"}, {"a": True}),
        ({"a": "@time"}, {"a": "2026-01-31T09:30:00"}),
        ({"a": "@id"}, {"a": "x" * 129}),
        ({"a": "@null"}, {"a": ""}),
        ({"a": "@absent"}, {"a": None}),
        ({"a": "@has:key:"}, {"a": "lock"}),
        ({"a": "@min:2"}, {"a": 1}),
        ({"a": "@len:2"}, {"a": [1]}),
        ({"a": "@save:name"}, {"a": None}),
        ({"a": "@unknown"}, {"a": 1}),
        ([1], [1, 2]),
        (["{known}"], ["other"]),
    ],
)
def test_answer_that_does_not_match_differs(want: Any, got: Any) -> None:
    with pytest.raises(DiffersError):
        match(want, got, {"known": "value"})


def test_saved_value_replaces_its_name_later() -> None:
    names: Names = {}
    match({"id": "@save:id", "count": "@save:count"}, {"id": "x-1", "count": 3}, names)
    assert fill("/things/{id}?count={count}&other={other}", names) == "/things/x-1?count=3&other={other}"


def test_shell_step_checks_exit_code_and_lines() -> None:
    shell("echo {word}; exit 3\n=> 3\nhello", {"word": "hello"})
    with pytest.raises(DiffersError, match="exit 1 instead of 0"):
        shell("false\n=> 0", {})
    with pytest.raises(DiffersError, match="'hello' is not in"):
        shell("true\n=> 0\nhello", {})


def test_difference_is_reported_with_the_line_of_its_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = tmp_path / "story.md"
    story.write_text("# A story\n\n```sh\ntrue\n=> 0\n```\n\nIt goes on.\n\n```sh\nfalse\n=> 0\n```\n")
    assert play(story) == 1
    assert (
        capsys.readouterr().out
        == "story.md:11: false\n    exit 1 instead of 0: \nstory.md: 1 of 2 steps as described\n"
    )
