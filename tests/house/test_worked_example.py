"""The worked example of docs/add-an-rpc.md is complete and small. `tests/e2e` carries it out."""

import tomllib
from pathlib import Path

import pytest

from tests.support.worked_example import ROOT, Step, apply, steps_of

STEPS = steps_of((ROOT / "docs/add-an-rpc.md").read_text())


def test_new_rpc_touches_few_files() -> None:
    production = [step.path for step in STEPS if step.path.startswith(("protos/", "services/", "libs/"))]
    assert len(production) <= 10


def test_contributing_lists_the_files_in_order() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("### Example: add an RPC")[2].partition("\n## ")[0]
    places = [section.find(f"`{step.path}`") for step in STEPS]
    assert -1 not in places
    assert places == sorted(places)


def test_steps_fit_the_files_that_they_change(tmp_path: Path) -> None:
    for step in STEPS:
        copied = tmp_path / step.path
        copied.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / step.path).exists():
            copied.write_text((ROOT / step.path).read_text())
        apply(step, tmp_path)
        if copied.suffix == ".toml":
            tomllib.loads(copied.read_text())


def test_error_of_a_step_that_does_not_fit_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\n")
    with pytest.raises(AssertionError, match=r"a\.py"):
        apply(Step("a.py", (("diff", " two\n+three\n"),)), tmp_path)
