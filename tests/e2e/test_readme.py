"""The shell commands of the README work as written, in their order."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.eventually import eventually
from tests.support.processes import Suite

README = (Path(__file__).parents[2] / "README.md").read_text()
BIN = Path(sys.executable).parent


def _shell_lines() -> list[str]:
    """The commands of the curl section, one per line, without comments."""
    section = README.partition("## Five minutes with curl")[2].partition("\n## ")[0]
    indented = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    joined = indented.replace("\\\n", "")
    return [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines() if line.strip()]


class Reader:
    """A reader at a terminal in a folder with a `.callboard`. Remembers the ids in answers."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        self.folder = folder
        self.key = suite.new_key("admin", "readme")
        self._suite = suite
        self._set: list[str] = []
        self._ids: dict[str, str] = {}
        (folder / ".callboard").mkdir()
        (folder / ".callboard" / "dev-key").write_text(self.key)

    async def start(self, line: str) -> asyncio.subprocess.Process:
        """Types a line, and does not wait for its end."""
        for placeholder, field in (("ses-...", "sessionId"), ("JOB_ID", "jobId")):
            if placeholder in line:
                line = line.replace(placeholder, self._ids[field])
        line = line.replace("http://127.0.0.1:8080", f"http://{self._suite.gateway.address}")
        line = line.replace(".venv/bin/", f"{BIN}/").replace("curl ", "curl --silent --show-error --fail-with-body ")
        if re.match(r"[A-Z]+=", line):
            self._set.append(line)
        script = "\n".join(["set -eu", *self._set, line])
        return await asyncio.create_subprocess_exec(
            *("bash", "-c", script),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "CALLBOARD_COMMAND_ADDRESS": self._suite.commands[0].address,
                 "CALLBOARD_KEY": self.key},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    async def type(self, line: str) -> str:
        """Types a line until it succeeds, as a reader who is faster than the suite does, and returns its output."""
        printed = ""

        async def succeeds() -> bool:
            nonlocal printed
            process = await self.start(line)
            printed = (await process.communicate())[0].decode()
            return process.returncode == 0

        try:
            await eventually(succeeds, 20)
        except AssertionError as error:
            raise AssertionError(f"{line}\n{printed}") from error
        self._remember(printed)
        return printed

    def _remember(self, printed: str) -> None:
        try:
            answer: Any = orjson.loads(printed)
        except orjson.JSONDecodeError:
            return
        self._ids |= {name: answer[name] for name in ("sessionId", "jobId") if name in answer}


@pytest.mark.asyncio(loop_scope="package")
async def test_curl_commands_of_the_readme_work_in_order(suite: Suite, tmp_path: Path) -> None:
    reader = Reader(suite, tmp_path)
    stream = None
    for line in _shell_lines():
        if line.endswith("&"):
            stream = await reader.start(line.removesuffix("&"))
        else:
            await reader.type(line)
    assert stream is not None
    seen = (await asyncio.wait_for(stream.communicate(), 20))[0].decode()
    types = re.findall(r"^event: (.+)$", seen, re.MULTILINE)
    assert types[0] == "session.started"
    assert types[-1] == "session.stopped"
    assert {"command.completed", "command.dead_lettered", "command.requeued"} <= set(types)
