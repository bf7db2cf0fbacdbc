"""Every REST operation and every RPC answers as recorded, for good and bad input."""

import traceback
from pathlib import Path

import pytest

from tests.recordings.answers import FOLDER, differences, file_of, read_answers, write_answers
from tests.recordings.play import Answers, play_all
from tests.recordings.script import areas
from tests.recordings.suite import running_suite
from tests.support.engines import TestNats


async def test_answers_are_as_recorded(
    database_url: str, app_database_url: str, nats_server: TestNats, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """One test for all areas, which share a suite and wait concurrently."""
    async with running_suite(database_url, app_database_url, nats_server.url, tmp_path) as suite:
        played = await play_all(suite, pytestconfig.getoption("area", default=[]))
    is_recording = bool(pytestconfig.getoption("record", default=False))
    found = [_compare(area, answers, is_recording=is_recording) for area, answers in played.items()]
    if text := "\n\n".join(filter(None, found)):
        pytest.fail(text, pytrace=False)


def test_every_recorded_area_is_played() -> None:
    assert {file_of(area) for area in areas()} == {*FOLDER.glob("*.json")}


def _compare(area: str, answers: Answers | Exception, *, is_recording: bool) -> str:
    """The differences between an area's answers and the recorded ones. When recording, records them instead."""
    if isinstance(answers, Exception):
        return f"{area} could not be played:\n{''.join(traceback.format_exception(answers))}"
    if is_recording:
        write_answers(area, answers)
    found = differences(read_answers(area), answers)
    return f"{area}:\n\n{found}" if found else ""
