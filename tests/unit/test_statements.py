"""Statements in files: their names, columns, shared texts and optional lines."""

from pathlib import Path

import pytest

from libs.db import load_statements
from libs.db.statements import Statement

_TEXT = """
-- name: matching
t.tenant = %(tenant)s
  and t.kind = %(kind)s -- if kind
  and t.at >= %(after)s -- if after

-- name: find
select $thing(t)
from things t
where $matching
order by t.at;

-- name: count
-- Counts all of them.
select count(*) from things t where $matching;
"""


@pytest.fixture
def statements(tmp_path: Path) -> dict[str, Statement]:
    folder = tmp_path / "things"
    folder.mkdir()
    (folder / "queries.sql").write_text(_TEXT, encoding="utf-8")
    return load_statements(folder / "queries.sql", thing=["id", "kind"])


def test_statement_is_named_after_its_slice_and_itself(statements: dict[str, Statement]) -> None:
    assert [statement.name for statement in statements.values()] == ["things.matching", "things.find", "things.count"]


def test_attribute_of_a_composite_column_is_selected_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "queries.sql").write_text("-- name: find\nselect $thing(t) from things t;\n", encoding="utf-8")
    statements = load_statements(tmp_path / "queries.sql", thing=["id", "options.size"])
    assert statements["find"] == "select t.id, (t.options).size from things t"


@pytest.mark.parametrize("empty", [None, "", (), False])
def test_line_is_left_out_when_its_parameter_is_empty(statements: dict[str, Statement], empty: object) -> None:
    assert statements["find"].given({"tenant": "acme", "kind": empty, "after": 5}) == (
        "select t.id, t.kind\nfrom things t\nwhere t.tenant = %(tenant)s\n  and t.at >= %(after)s\norder by t.at"
    )


def test_line_whose_parameter_is_given_stays_without_its_mark(statements: dict[str, Statement]) -> None:
    text = statements["count"].given({"tenant": "acme", "kind": "echo", "after": None})
    assert text.endswith("where t.tenant = %(tenant)s\n  and t.kind = %(kind)s")


def test_optional_parameter_that_is_not_given_is_an_error(statements: dict[str, Statement]) -> None:
    with pytest.raises(KeyError, match="after"):
        statements["find"].given({"tenant": "acme", "kind": "echo"})


def test_optional_lines_need_named_parameters(statements: dict[str, Statement]) -> None:
    with pytest.raises(TypeError, match=r"things\.find has optional lines"):
        statements["find"].given(("acme", "echo"))


def test_statement_without_optional_lines_is_run_as_it_stands() -> None:
    statement = Statement.of("things.all", "select 1 -- one")
    assert statement.given(()) is statement


@pytest.mark.parametrize("text", ["select $unknown(t)", "select * from things t where $unknown"])
def test_unknown_columns_and_texts_are_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "queries.sql"
    path.write_text(f"-- name: find\n{text};\n", encoding="utf-8")
    with pytest.raises(KeyError, match="unknown"):
        load_statements(path)
