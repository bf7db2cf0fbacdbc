"""The pages on concurrency and failures name code and tests for each rule, and that code names the rule."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PATH = re.compile(r"`((?:libs|services|tests)/[\w/.]+)`")
_RULES = re.compile(r"\brules? (\d+)(?:(?:,| and) (\d+))*")
_ROWS = re.compile(r"\brows? (\d+)(?:(?:,| and) (\d+))*")


def _sections() -> dict[int, str]:
    """Each rule of docs/concurrency.md, with its text."""
    parts = re.split(r"^## Rule (\d+): ", (ROOT / "docs/concurrency.md").read_text(), flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def _rows() -> dict[int, str]:
    """Each row of docs/failures.md, with its text."""
    found = re.findall(r"^\| (\d+) \|(.*)$", (ROOT / "docs/failures.md").read_text(), flags=re.MULTILINE)
    return {int(number): text for number, text in found}


RULES, ROWS = _sections(), _rows()


def _code() -> list[Path]:
    return [
        path
        for folder in ("libs", "services")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".sql"} and "_pb2" not in path.name
    ]


def _named(pattern: re.Pattern[str], word: str, text: str) -> set[int]:
    """The numbers that a text refers to. Short forms count only if the text has `word`, the page's name."""
    found = {int(number) for match in pattern.finditer(text) for number in re.findall(r"\d+", match.group())}
    return found if word in text or pattern is _RULES else set()


def test_pages_have_every_rule_and_row() -> None:
    assert RULES.keys() == set(range(1, 15))
    assert ROWS.keys() == {*range(1, 14), 19, 20, 21, 23, 24, 27, 30}


@pytest.mark.parametrize(("kind", "number"), [("rule", n) for n in RULES] + [("row", n) for n in ROWS])
def test_code_named_for_a_rule_names_the_rule(kind: str, number: int) -> None:
    text = RULES[number] if kind == "rule" else ROWS[number]
    pattern, word = (_RULES, "concurrency") if kind == "rule" else (_ROWS, "failures")
    paths = [ROOT / path for path in _PATH.findall(text)]
    assert all(path.is_file() for path in paths), [path for path in paths if not path.is_file()]
    kept = [path for path in paths if ROOT / "tests" not in path.parents]
    assert kept, "name the code that keeps it"
    assert len(kept) < len(paths) or re.search(r"\b[FI]\d", text), "name what shows it"
    silent = [path for path in kept if number not in _named(pattern, word, path.read_text())]
    assert not silent, f"name {kind} {number} in these files"


def test_rules_named_in_code_exist() -> None:
    wrong = [
        (path.relative_to(ROOT).as_posix(), number)
        for path in _code()
        for pattern, word, known in ((_RULES, "concurrency", RULES), (_ROWS, "failures", ROWS))
        for number in _named(pattern, word, path.read_text())
        if number not in known
    ]
    assert not wrong
