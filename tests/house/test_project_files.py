"""The files around the code: changelog, templates, and configuration of editors and pre-commit."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.make_targets import commands_of

ROOT = Path(__file__).parents[2]
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
    if repository["repo"] == "local"
]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))


def test_changelog_has_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    releases = re.findall(r"^## \[([^\]]+)\](?: - \d{4}-\d\d-\d\d)?$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert releases[0] == "Unreleased"
    assert version in releases


def test_changelog_uses_the_headings_of_keep_a_changelog() -> None:
    headings = set(re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}


def test_pre_commit_fetches_nothing() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}


def test_pre_commit_runs_what_make_check_runs() -> None:
    hooks = [hook["entry"].split() for hook in HOOKS]
    assert sorted(map(_command, hooks)) == sorted(map(_command, commands_of("check")))
    assert all((ROOT / program).exists() for program, *_ in hooks)


def _command(words: list[str]) -> tuple[str, ...]:
    """A command without its options: a hook formats what `make check` only checks."""
    return tuple(word for word in words if not word.startswith("--"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_issue_template_states_its_purpose(template: Path) -> None:
    _, header, body = template.read_text().split("---\n", 2)
    assert {"name", "about", "labels"} <= yaml.safe_load(header).keys()
    assert "**" in body


def test_code_owners_are_teams() -> None:
    lines = [line for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines() if line and line[0] != "#"]
    assert lines
    assert all(re.fullmatch(r"\S+(\s+@[a-z-]+/[a-z-]+)+", line) for line in lines)
    owned = [line.split()[0] for line in lines]
    assert [path for path in owned if path[0] == "/" and not (ROOT / path[1:]).exists()] == []


def test_security_policy_keeps_reports_private_and_has_no_address() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "private vulnerability report" in text
    assert not re.search(r"[\w.]+@[\w.]+", text)


def test_no_file_holds_a_conflict_marker() -> None:
    folders = ("bench", "deploy", "docs", "examples", "libs", "protos", "requirements", "services", "tests", "tools")
    paths = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]
    texts = {".cfg", ".ini", ".json", ".md", ".proto", ".py", ".sql", ".toml", ".txt", ".yml"}
    marker = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    assert not [path for path in paths if path.suffix in texts and marker.search(path.read_text(encoding="utf-8"))]
