"""`make test-fast` takes seconds because no test in it starts an engine."""

import re
from pathlib import Path

import pytest

_FOLDERS = [Path(__file__).parents[1] / name for name in ("unit", "house")]
_ENGINES = {"postgres", "nats_server", "migrated_template", "database_name", "shared_suite", "suite"}
_STARTERS = re.compile(r"\b(?:running_postgres|running_nats|running_suite|running_rig|PostgresServer|NatsServer)\b")


def test_fast_tests_use_no_fixture_of_an_engine(request: pytest.FixtureRequest) -> None:
    fast = [item for item in request.session.items if any(item.path.is_relative_to(folder) for folder in _FOLDERS)]
    assert [item.nodeid for item in fast if _ENGINES.intersection(getattr(item, "fixturenames", ()))] == []


@pytest.mark.parametrize("folder", _FOLDERS, ids=lambda folder: folder.name)
def test_fast_tests_start_no_engine(folder: Path) -> None:
    others = [path for path in folder.rglob("*.py") if path != Path(__file__)]
    assert [path.name for path in others if _STARTERS.search(path.read_text(encoding="utf-8"))] == []
