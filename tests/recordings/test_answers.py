"""What callers see stays as it was recorded: every REST operation and every RPC, for good and bad input."""

import pytest

from tests.recordings.answers import FOLDER, differences, file_of, read_answers, write_answers
from tests.recordings.play import Answers
from tests.recordings.script import areas


@pytest.mark.parametrize("area", areas())
def test_answers_are_as_recorded(area: str, played: dict[str, Answers | Exception], *, is_recording: bool) -> None:
    answers = played[area]
    if isinstance(answers, Exception):
        raise answers
    if is_recording:
        write_answers(area, answers)
    found = differences(read_answers(area), answers)
    assert not found, found


def test_every_recorded_area_is_played() -> None:
    assert {file_of(area) for area in areas()} == {*FOLDER.glob("*.json")}
