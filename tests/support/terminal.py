"""The `callboard` command as a user runs it, as a process."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_SECONDS = 60


@dataclass
class Done:
    """The result of a command."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Runs `callboard` with its own environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        self.environment = {"PATH": os.environ["PATH"], **measured, **environment}

    async def run(self, *arguments: str | bytes, text: str = "", **environment: str) -> Done:
        """Runs a command to its end."""
        process = await self.start(*arguments, **environment)
        out, error = await asyncio.wait_for(process.communicate(text.encode()), _SECONDS)
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), error.decode())

    async def start(self, *arguments: str | bytes, **environment: str) -> asyncio.subprocess.Process:
        """Starts a command."""
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", *arguments,
            cwd=ROOT, env={**self.environment, **environment}, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
