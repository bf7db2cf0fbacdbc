"""The stories of `tests/stories`, which define the public surface by example, play without a difference."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.processes import Suite

pytestmark = pytest.mark.asyncio(loop_scope="package")
ROOT = Path(__file__).parents[2]
STORIES = sorted(path for path in (ROOT / "tests/stories").glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
async def test_story_plays_without_a_difference(suite: Suite, story: Path) -> None:
    environment = {
        **os.environ,
        "CALLBOARD_URL": f"http://{suite.gateway.address}",
        "CALLBOARD_KEY": suite.key,
        "CALLBOARD_HOME": str(suite.folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    player = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stories.player", str(story)),
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await player.communicate()
    assert player.returncode == 0, said.decode()
