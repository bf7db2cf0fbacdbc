"""The worked examples of CONTRIBUTING are complete and small. `tests/e2e` carries them out."""

import tomllib
from pathlib import Path

import pytest

from tests.support.worked_example import PAGES, ROOT, Step, apply, steps_of


@pytest.mark.parametrize(("page", "most"), [("docs/add-an-rpc.md", 10), ("docs/add-a-field.md", 5)])
def test_change_touches_few_files(page: str, most: int) -> None:
    production = [step.path for step in steps_of(page) if step.path.startswith(("protos/", "services/", "libs/"))]
    assert 0 < len(production) <= most


@pytest.mark.parametrize("page", PAGES)
def test_contributing_lists_the_files_in_order(page: str) -> None:
    title = (ROOT / page).read_text().splitlines()[0].removeprefix("# ").replace("Add", "add")
    section = (ROOT / "CONTRIBUTING.md").read_text().partition(f"### Example: {title}\n")[2]
    section = section.partition("\n## ")[0].partition("\n### ")[0]
    places = [section.find(f"`{step.path}`") for step in steps_of(page)]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("page", PAGES)
def test_steps_fit_the_files_that_they_change(page: str, tmp_path: Path) -> None:
    for step in steps_of(page):
        copied = tmp_path / step.path
        copied.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / step.path).exists():
            copied.write_text((ROOT / step.path).read_text())
        apply(step, tmp_path)
        if copied.suffix == ".toml":
            tomllib.loads(copied.read_text())


def test_migration_of_an_example_gets_the_next_number(tmp_path: Path) -> None:
    (tmp_path / "migrations/0001_baseline").mkdir(parents=True)
    for name in ("one", "two"):
        apply(Step(f"migrations/NNNN_{name}.sql", (("sql", "select 1;\n"),)), tmp_path)
    assert sorted(path.name for path in (tmp_path / "migrations").glob("*.sql")) == ["0002_one.sql", "0003_two.sql"]


def test_error_of_a_step_that_does_not_fit_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\n")
    with pytest.raises(AssertionError, match=r"a\.py"):
        apply(Step("a.py", (("diff", " two\n+three\n"),)), tmp_path)
