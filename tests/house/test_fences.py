"""Every statement that writes to a command names its lease token or removes it (concurrency, rule 2)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOLDERS = ("libs/db/migrations", "libs/attempts", "services/command", "services/runner")
SOURCES = sorted(path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.sql"))

# Writes without a lease token, because they end the lease or there is none, and what makes each safe. All but the last
# two hold the partition's lock.
WITHOUT = {
    "command.claim": "of what waits, found as such in the same statement: the claim makes the lease",
    "command.request_stop": "asks those that run",
    "command.cancel_open": "ends those that wait, or, by force, takes the lease away",
    "command.cancel": "asks those that run; ends those that wait, or takes the lease away",
    "command.dispatch_lost": "of what waits, found as such in the same statement",
    "forget_commands": "of what ended long ago: `expires_at` is set by the end alone",
}
_WRITE = re.compile(r"\b(?:update|delete\s+from)\s+command\.commands\b", re.IGNORECASE)
_NAMED = re.compile(r"^create (?:or replace )?function ([a-z_.]+)|^-- name: ([a-z_]+)", re.MULTILINE)


def writes(source: str) -> Iterator[tuple[str, str]]:
    """Each write to commands, with the name of its function or statement."""
    source = re.sub(r"(?m)^\s*--(?! name:).*$", "", source)
    for found in _WRITE.finditer(source):
        names = [one[1] or one[2] for one in _NAMED.finditer(source, 0, found.start())]
        yield names[-1] if names else "", _statement(source[found.start() :])


def _statement(text: str) -> str:
    """The statement at the start of a text, up to its closing bracket or semicolon."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth < 0 or letter == ";":
            return text[:place]
    return text


def writes_of(name: str) -> list[str]:
    return [one for path in SOURCES for where, one in writes(path.read_text(encoding="utf-8")) if where == name]


def is_fenced(statement: str) -> bool:
    _, _, condition = statement.rpartition("where")
    return bool(re.search(r"lease_token = \w+\.token", condition)) and "state = 'running'" in condition


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_writes_to_commands_are_fenced_by_the_lease(path: Path) -> None:
    unfenced = {name for name, statement in writes(path.read_text(encoding="utf-8")) if not is_fenced(statement)}
    assert unfenced - WITHOUT.keys() == set()


@pytest.mark.parametrize("name", ["command.cancel_open", "command.cancel"])
def test_write_that_ends_a_command_without_its_lease_removes_the_lease(name: str) -> None:
    ends = [one for one in writes_of(name) if "state = 'cancelled'" in one]
    assert ends
    assert all("lease_token = null" in one and "runner_id = null" in one for one in ends)


@pytest.mark.parametrize("name", ["command.request_stop", "command.cancel"])
def test_cancel_request_changes_nothing_else_of_a_running_command(name: str) -> None:
    asks = [one for one in writes_of(name) if "state = 'cancelled'" not in one]
    assert asks
    assert not any(re.search(r"\b(state|attempt|result|error|lease_token) =", one.split("where")[0]) for one in asks)


def test_writes_of_runners_are_among_those_checked() -> None:
    fenced = {
        name for path in SOURCES for name, one in writes(path.read_text(encoding="utf-8")) if is_fenced(one)
    }  # fmt: skip
    assert {"command.finish", "command.report"} <= fenced


@pytest.mark.parametrize(
    ("file", "fence"), [("finish.sql", " and c.lease_token = h.token"), ("report.sql", " and c.lease_token = l.token")]
)
def test_write_without_a_fence_is_found(file: str, fence: str) -> None:
    source = (ROOT / "services/command/dispatch/functions" / file).read_text(encoding="utf-8")
    assert source.count(fence) == 1
    broken = source.replace(fence, "")
    assert {name for name, one in writes(broken) if not is_fenced(one)} - WITHOUT.keys()
