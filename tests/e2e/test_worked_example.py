"""The steps of the worked examples work on the current code. They share a copy, its generated code and its engines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.worked_example import PAGES, apply, copy_of_checkout, steps_of

STEPS = [step for page in PAGES for step in steps_of(page)]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with every step carried out and its code generated."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("example"))
    for step in STEPS:
        apply(step, checkout)
    run(checkout, "-m", "tools.protos", "generate")
    return checkout


def run(checkout: Path, *arguments: str) -> str:
    """Runs Python on the copy, with imports from the copy."""
    paths = os.pathsep.join((str(checkout), str(checkout / "libs/callboard")))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env={**ours, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_new_rpc_and_new_field_keep_what_their_tests_promise(changed: Path) -> None:
    tests = [step.path for step in STEPS if step.path.startswith("tests/contract/")]
    assert len(tests) == len(PAGES)
    out = run(changed, "-m", "pytest", "-q", "-p", "no:xdist", *tests)
    assert "6 passed" in out


def test_changed_code_passes_the_fast_checks(changed: Path) -> None:
    written = [step.path for step in STEPS if step.path.endswith(".py")]
    run(changed, "-m", "ruff", "check", *written)
    run(changed, "-m", "ruff", "format", "--check", *written)
    run(changed, "-m", "tools.protos", "check")
