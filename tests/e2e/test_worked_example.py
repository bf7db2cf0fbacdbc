"""The steps of the worked examples work on the current code. They share a copy, its generated code and its engines.

The tests cost 15 s of CPU: `make check` finds its caches in the copy, and the recordings play only what the pages name.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.make_targets import commands_of
from tests.support.worked_example import PAGES, apply, copy_of_checkout, steps_of

pytestmark = pytest.mark.slow(20)
STEPS = [step for page in PAGES for step in steps_of(page)]
# The tests that read the contract, and fail if a table or a count of theirs leaves out a method.
OF_ALL_METHODS = (
    "tests/unit/test_policy.py",
    "tests/unit/test_client_generator.py::test_methods_with_an_idempotency_key_are_repeatable",
    "tests/integration/test_authorization_matrix.py::test_calls_without_credentials_are_rejected_except_readiness",
    "tests/integration/test_authorization_matrix.py::test_other_tenants_get_the_same_error_as_for_unknown_ids",
    "tests/integration/test_cli_call.py::test_every_method_can_be_called[CountSessions]",
    "tests/integration/test_cli_call.py::test_every_method_can_be_described[CountSessions]",
    "tests/integration/test_gateway_routes.py::test_openapi_document_describes_exactly_the_routes",
)
# What `python -m tests.recordings record sessions documents` runs.
RECORD = ("tests/recordings", "--record", "--area=sessions", "--area=documents")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with every step carried out and its code generated."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("example"))
    for step in STEPS:
        apply(step, checkout)
    for command in commands_of("protos"):
        run(checkout, *command)
    return checkout


def run(checkout: Path, program: str, *arguments: str) -> str:
    """Runs a program of the environment on the copy, with imports from the copy."""
    paths = os.pathsep.join((str(checkout), str(checkout / "libs/callboard")))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [program.replace(".venv", sys.prefix), *arguments], cwd=checkout, env={**ours, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_changed_code_keeps_what_the_tests_promise(changed: Path) -> None:
    tests = [step.path for step in STEPS if step.path.startswith("tests/contract/")]
    assert len(tests) == len(PAGES)
    out = run(changed, ".venv/bin/python", "-m", "pytest", "-q", "-p", "no:xdist", *tests, *OF_ALL_METHODS, *RECORD)
    assert "passed" in out
    recorded = (changed / "tests/recordings/answers/rpc_sessions.json").read_text()
    assert "callboard.sessions.v1.SessionService.CountSessions" in recorded


@pytest.mark.parametrize("command", commands_of("check"), ids=" ".join)
def test_changed_code_passes_make_check(changed: Path, command: list[str]) -> None:
    run(changed, *command)
