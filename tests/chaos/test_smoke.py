"""A short run of the most important faults on real processes."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.chaos.check import check, report
from tests.chaos.run import run
from tests.chaos.schedule import plan

FAULTS = ("F1", "F2", "F4", "F5", "F7", "F24")
SECONDS_EACH = 9.0  # enough for each fault at least once
SEED = 20261121  # the same schedule each time; `make chaos` draws others
CHANGE_SECONDS = 4.0  # each restart of a session starts a tool server, which takes half a second of CPU
RATE = 30.0  # submits a second; low, because everything runs on one machine


@pytest.mark.slow(120)
async def test_no_command_is_lost_or_repeated_under_faults() -> None:
    """I1 to I9, I11 and I13 hold under kills, pauses, a wiped broker, a crashed database and 64 competing clients."""
    seed = int(os.environ.get("CHAOS_SEED") or SEED)
    folder = Path(tempfile.mkdtemp(prefix=f"callboard-chaos-smoke-{seed}-"))
    print(f"seed {seed}, saved in {folder}")  # noqa: T201 - pytest shows it with a failure
    await run(plan(seed, FAULTS, SECONDS_EACH * len(FAULTS)), folder, rate=RATE, change_seconds=CHANGE_SECONDS)
    violations = check(folder)
    assert not violations, f"seed {seed}, saved in {folder}:\n{report(folder, violations)}"
    shutil.rmtree(folder)
