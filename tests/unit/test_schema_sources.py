"""The files of a schema are checked before the database is changed."""

from pathlib import Path

import pytest

from libs.db.migrate import SourceError
from libs.db.migrate.sources import read_definitions, read_migrations
from libs.db.migrate.statements import split
from libs.db.migrate.steps import check_steps

NO_TRANSACTION = "-- callboard: no transaction\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)
    return folder


def function(name: str, body: str = "1") -> str:
    return f"create or replace function box.{name}() returns integer language sql return {body};"


def test_definitions_come_after_their_dependencies(tmp_path: Path) -> None:
    write(tmp_path, a=function("a", "box.b() + box.c()"), b=function("b", "box.c()"), c=function("c"))
    assert [definition.name for definition in read_definitions((tmp_path,))] == ["box.c", "box.b", "box.a"]


def test_name_in_a_comment_is_not_a_dependency(tmp_path: Path) -> None:
    write(tmp_path, a="-- See box.b.\n" + function("a"), b=function("b", "box.a()"))
    assert [definition.name for definition in read_definitions((tmp_path,))] == ["box.a", "box.b"]


def test_cycle_is_rejected_naming_its_functions(tmp_path: Path) -> None:
    write(tmp_path, a=function("a", "box.b()"), b=function("b", "box.a()"))
    with pytest.raises(SourceError, match=r"box\.a, box\.b, box\.a"):
        read_definitions((tmp_path,))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a": function("b")}, "must be named b.sql"),
        ({"a": function("a") + "\n" + function("b")}, "one defines 2"),
        ({"a": "select 1;"}, "one defines 0"),
    ],
)
def test_file_defines_one_thing_of_its_own_name(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        read_definitions((write(tmp_path, **files),))


def test_name_is_defined_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, a=function("a"))
    with pytest.raises(SourceError, match=r"another file also defines box\.a"):
        read_definitions((tmp_path / "one", tmp_path / "two"))


@pytest.mark.parametrize("name", ["0003_gap", "0001_later", "two"])
def test_migrations_are_numbered_without_gaps_and_repetitions(tmp_path: Path, name: str) -> None:
    write(tmp_path, **{"0001_first": "select 1;", name: "select 1;"})
    with pytest.raises(SourceError, match=name):
        read_migrations(tmp_path)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "0001_first has no .sql file"),
        ({"a": "select 1;", "b": f"{NO_TRANSACTION}analyze box.items;"}, "0001_first: .* must be a single file"),
        ({"a": f"{NO_TRANSACTION}-- Nothing yet."}, "0001_first has no statement"),
    ],
)
def test_unusable_folder_of_a_migration_is_rejected_by_name(
    tmp_path: Path, files: dict[str, str], problem: str
) -> None:
    (tmp_path / "0001_first").mkdir()
    write(tmp_path / "0001_first", **files)
    with pytest.raises(SourceError, match=problem):
        read_migrations(tmp_path)


@pytest.mark.parametrize("statement", ["create index concurrently on box.items (id)", "update box.items set id = 1"])
def test_migration_that_cannot_be_resumed_needs_a_transaction(tmp_path: Path, statement: str) -> None:
    write(tmp_path, **{"0001_first": f"{NO_TRANSACTION}{statement};"})
    [migration] = read_migrations(tmp_path)
    with pytest.raises(SourceError, match="without a transaction"):
        check_steps(migration)


def test_script_is_split_only_between_statements() -> None:
    text = "select ';' -- one;\n; /* two; */ do $x$ begin; end $x$; select \"a;b\";"
    assert split(text) == ("select ';'", "do $x$ begin; end $x$", 'select "a;b"')
