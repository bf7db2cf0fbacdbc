"""The documents name every reason and event type of the code, and their links resolve."""

import re
from pathlib import Path

import pytest

from libs.attempts import FailureCode
from libs.errors import HTTP_STATUS, STATUS, Reason
from tests.support.worked_example import PAGES, steps_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
LEVELS = {1: "info", 2: "warn", 3: "error", 4: "audit"}
# How SQL builds an event: `row(<session>, '<type>', <level>, ...`
_WRITTEN = re.compile(r"row\(\s*\S+?,\s*'((?:session|agent|command)\.[a-z_]+)',\s*(\d)")
# The one computed type: a session's last event is named after its final state.
_CLOSING = re.compile(r"'session\.' \|\| \(v_closing ->> 'state'\), 4,")
_OF_EXAMPLES = {Path(step.path).name for page in PAGES for step in steps_of(page)}
_ENDS = {"session.stopped", "session.failed"}
_CALLERS = {"iteration", "learning", "tool.called", "custom.*"}


def rows(document: str) -> dict[str, list[str]]:
    """The rows of a document's tables whose first cell is code, by that cell."""
    found = {}
    for line in (ROOT / document).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and re.fullmatch(r"`[^`]+`", cells[0]):
            found[cells[0].strip("`")] = cells[1:]
    return found


def sql() -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "services").rglob("functions/*.sql")))


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_listed_with_its_code_and_status(reason: Reason) -> None:
    listed = [
        line.split("|")[2:4]
        for line in (ROOT / "docs/errors.md").read_text().splitlines()
        if line.startswith(f"| `{reason}` |") and line.count("|") == 6
    ]
    assert [[cell.strip() for cell in cells] for cells in listed] == [[STATUS[reason], str(HTTP_STATUS[reason])]]


def test_each_code_of_failed_attempts_is_listed() -> None:
    attempts = (ROOT / "docs/errors.md").read_text().partition("## Codes of failed attempts")[2]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", attempts, re.MULTILINE)) == set(FailureCode)


def test_listed_reasons_exist() -> None:
    assert set(rows("docs/errors.md")) == set(Reason) | set(FailureCode)


def test_event_types_of_the_database_are_listed_with_their_levels() -> None:
    listed = rows("docs/events.md")
    written = _WRITTEN.findall(sql())
    assert len({type_ for type_, _ in written}) > 5
    for type_, level in written:
        assert listed[type_][0] == LEVELS[int(level)], type_


def test_listed_event_types_are_those_that_are_appended() -> None:
    reporting = ("services/runner/attempts/reports.py", "libs/attempts/outcomes.py")
    code = sql() + "".join((ROOT / path).read_text() for path in reporting)
    appended = set(re.findall(r"""['"]((?:session|agent|command)\.[a-z_]+)['"]""", code))
    assert _CLOSING.search(sql())
    types = (ROOT / "docs/events.md").read_text().partition("## Types")[2].partition("## Reading")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", types, re.MULTILINE)) == appended | _ENDS | _CALLERS


def test_contract_accepts_the_event_types_listed_for_callers() -> None:
    protos = (ROOT / "protos/callboard/events/v1/events.proto").read_text()
    rule = re.search(r"message NewEvent .*?string\.pattern = \"(.*?)\"", protos, re.DOTALL)
    assert rule is not None
    takes = re.compile(rule[1].replace("\\\\", "\\"))
    assert all(takes.search(type_.replace("*", "anything")) for type_ in _CALLERS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        path, _, anchor = link.partition("#")
        if path.startswith("http"):
            continue
        target = (document.parent / path) if path else document
        assert target.exists(), link
        headings = {
            re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        }
        assert not anchor or anchor in headings, link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_tests_exist(document: Path) -> None:
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")} | _OF_EXAMPLES
    assert set(re.findall(r"\btest_\w+\.py\b", document.read_text())) <= tests


def test_listed_targets_are_those_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    listed = {name.removeprefix("make ") for name in rows("CONTRIBUTING.md") if name.startswith("make ")}
    assert listed == targets - {"help", "setup"}


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_decision_record_is_in_the_index_and_has_every_section(record: Path) -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    text = record.read_text()
    assert f"]({record.name})" in index
    assert text.startswith(f"# {record.name[:4]}: ")
    for heading in ("Context", "Decision", "Rejected", "Consequences"):
        assert f"\n## {heading}\n" in text
