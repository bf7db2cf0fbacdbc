"""Documents agree with the code about metrics, log events, settings, tables, commands and examples."""

import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from libs.failpoints.rules import read_rules
from libs.server_registry import ServerRegistryFile
from services.cli import errors
from services.cli.__main__ import app
from services.command.settings import CommandSettings
from services.gateway.settings import GatewaySettings
from services.runner.settings import RunnerSettings
from services.session.settings import SessionSettings

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
SETTINGS = (SessionSettings, CommandSettings, RunnerSettings, GatewaySettings)
_METRIC = re.compile(r'"(callboard_[a-z_]+)",\s*\n?\s*(?:f?"|help)')


def _code(suffix: str) -> Iterator[str]:
    """The text of every handwritten file in services and libs."""
    for folder in ("services", "libs"):
        for path in (ROOT / folder).rglob(f"*{suffix}"):
            if "_pb2" not in path.name:
                yield path.read_text()


def _section(page: str, heading: str) -> str:
    return page.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def _lines_of_shell(page: str) -> list[str]:
    blocks = re.findall(r"^ {4}\S.*(?:\\\n.*)*", page, re.MULTILINE)
    return [re.sub(r"\s+#.*", "", block.replace("\\\n", "").strip()) for block in blocks]


def test_listed_metrics_are_those_of_the_code() -> None:
    listed = re.findall(r"`(callboard_[a-z_]+)`", _section(OPERATIONS, "Monitoring"))
    made = {name for text in _code(".py") for name in _METRIC.findall(text)}
    assert len(made) > 5
    assert {name.removesuffix("_total") for name in listed} == {name.removesuffix("_total") for name in made}


def test_log_events_that_pages_name_are_logged() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", OPERATIONS.partition("the log events")[2].partition("\n\n")[0]))
    named.add("broker_acknowledges_before_it_syncs")
    logged = {name for text in _code(".py") for name in re.findall(r'_?log\.\w+\(\s*"(\w+)"', text)}
    assert len(named) > 5
    assert named <= logged


@pytest.mark.parametrize("settings", SETTINGS)
def test_each_setting_is_listed_with_its_default(settings: type[BaseSettings]) -> None:
    pages = (ROOT / "README.md").read_text() + OPERATIONS
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else f"CALLBOARD_{name.upper()}"
        [row] = re.findall(rf"^\| `{variable}` \|(.*)\|$", pages, re.MULTILINE)
        if field.default not in (PydanticUndefined, None, ""):
            shown = f"{field.default:g}" if isinstance(field.default, int | float) else str(field.default)
            assert re.search(rf"(?<![\w.]){re.escape(shown)}(?![\w.]\d)", row), variable


def test_listed_tables_are_those_of_the_database() -> None:
    made = {name for text in _code(".sql") for name in re.findall(r"^create table (\w+\.\w+)", text, re.MULTILINE)}
    tables = ARCHITECTURE.partition("| table |")[2]
    listed = set(re.findall(r"`((?:session|command|identity|idempotency)\.\w+)`", tables))
    assert listed == made - {"session.events_standard"}  # a partition of session.events


def test_functions_that_pages_name_exist() -> None:
    made = set()
    for text in _code(".sql"):
        made |= set(re.findall(r"^create (?:or replace )?(?:function|table) (\w+\.\w+)", text, re.MULTILINE))
    events = set(re.findall(r"^\| `([a-z.]+)` \|", (ROOT / "docs/events.md").read_text(), re.MULTILINE))
    for page in ("architecture", "concurrency", "failures"):
        named = set(re.findall(r"`((?:session|command|idempotency)\.\w+)`", (ROOT / f"docs/{page}.md").read_text()))
        assert named <= made | events, page


def test_exit_codes_are_those_of_the_command_line() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    listed = set(map(int, re.findall(r"^\| (\d) \|", _section(page, "Exit codes"), re.MULTILINE)))
    used = {vars(one).get("exit_code", 1) for _, one in inspect.getmembers(errors, inspect.isclass)}
    assert listed == {0, *used}


def test_callboard_commands_in_pages_parse() -> None:
    seen = 0
    for page in (ROOT / "README.md", ROOT / "docs/operations.md", ROOT / "docs/cli.md"):
        for line in _lines_of_shell(page.read_text()):
            _, found, arguments = line.partition(".venv/bin/callboard ")
            if found:
                _parse(
                    ["3" if word == "N]" else word.strip("[") for word in shlex.split(arguments.partition(" | ")[0])]
                )
                seen += 1
    assert seen > 5


def _parse(words: list[str]) -> None:
    """Parses the words with the command line's own parser, without running anything."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


def test_example_of_a_server_registry_is_valid(tmp_path: Path) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", OPERATIONS, re.DOTALL)
    path = tmp_path / "servers.toml"
    path.write_text(block)
    assert set(ServerRegistryFile(path).current().names()) == tomllib.loads(block)["servers"].keys()


def test_example_of_failpoints_is_valid() -> None:
    [rules] = re.findall(r'CALLBOARD_FAILPOINTS="([^"]+)"', (ROOT / "docs/reliability.md").read_text())
    assert len(read_rules(rules)) == 3


@pytest.mark.parametrize("module", ["session", "command", "runner", "gateway"])
def test_processes_that_pages_start_exist(module: str) -> None:
    assert f"`python -m services.{module}`" in OPERATIONS
    assert f"`python -m services.{module}`" in ARCHITECTURE
    assert (ROOT / "services" / module / "__main__.py").exists()


def test_folders_of_the_map_exist() -> None:
    tree = _section((ROOT / "CONTRIBUTING.md").read_text(), "The map")
    parents: list[str] = []
    found = 0
    for line in re.findall(r"^ {4}.*$", tree, re.MULTILINE):
        depth = (len(line) - len(line.lstrip()) - 4) // 2
        names = re.findall(r"[\w-]+/(?=\s|$)", line) or []
        parents[depth:] = names[:1]
        for name in names:
            assert Path(ROOT, *parents[:depth], name).is_dir(), line
            found += 1
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and re.match(r"[a-z]", path.name)}
    assert all(f"{folder}/" in tree for folder in folders - {"build", "dist"})
    assert found > 15
