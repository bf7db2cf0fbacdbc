"""Documents use one word for one thing, and follow the rules for their form."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
RETIRED = {
    r"\bhints?\b": "notification",
    r"\brefus(e|es|ed|al|als)\b": "rejected, error",
    r"\bcatalogues?\b": "server registry",
    r"\blapse[sd]?\b": "expire",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\banew\b": "again, recreate",
    r"\bfor ever\b": "forever",
    r"\bheed(s|ed|ing)?\b": "obey",
    r"\blanes?\b": "batch",
    r"\bfurnish": "provision",
    r"\bunder way\b": "in progress, running",
}
"""Words that this project used before, and those that it uses now."""


def prose(document: Path) -> str:
    """A document without its code, its links' targets and what the benchmark wrote."""
    text = re.sub(r"<!-- bench: begin -->.*<!-- bench: end -->", "", document.read_text(), flags=re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_use_current_words(document: Path) -> None:
    text = prose(document)
    found = {match.group(): new for old, new in RETIRED.items() for match in re.finditer(old, text, re.IGNORECASE)}
    assert not found, "write instead"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_of_prose_fit_a_terminal(document: Path) -> None:
    lines = document.read_text().splitlines()
    long = [n for n, line in enumerate(lines, 1) if len(line) > 130 and not re.match(r"\s*\||<|Measured |\s{4}", line)]
    assert not long, f"wrap these lines: {long}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_external_links_lead_only_to_standards_and_tools(document: Path) -> None:
    hosts = set(re.findall(r"https?://([^/\s)\"`]+)", prose(document) + "".join(_targets(document))))
    assert hosts <= {"keepachangelog.com", "semver.org", "pre-commit.com"}


def _targets(document: Path) -> list[str]:
    return re.findall(r"\]\((http[^)]*)\)", document.read_text())


def test_test_names_begin_with_their_subject() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    assert [name for path in files for name in re.findall(r"def (test_(?:a|an|the)_\w+)", path.read_text())] == []
