"""import-linter and mypy know every library and every service, and a module without a place is rejected."""

import configparser
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC_PACKAGE = "callboard"
"""It lies in libs/, and is imported by its own name."""
STRAYS = {
    "libs/stray/__init__.py": "",
    "libs/errors/stray.py": "import libs.rpc",
    "libs/bus/stray.py": "import services.session.app",
    "services/stray/__init__.py": "import services.session.app",
    "services/cli/stray.py": "",
    "services/gateway/stray.py": "",
    "services/session/sessions/stray.py": "",
    "services/command/commands/stray.py": "",
    "services/runner/leases/stray.py": "",
    "services/runner/executors/stray.py": "",
    "services/session/agents/model.py": "import asyncio",
    "services/session/agents/ports.py": "import libs.contract",
    "services/runner/leases/service.py": "import libs.db",
}
"""What each file of a changed copy holds. import-linter must reject every one."""
LINT = """
import sys
sys.path.remove(sys.argv[1])
from importlinter.cli import lint_imports
sys.exit(lint_imports(f"{sys.argv[1]}/.importlinter", no_cache=True))
"""
"""Checks the working directory. `libs` and `services` are namespaces: with the checkout on the path, it is read too."""


def folders_of(folder: str) -> set[str]:
    return {path.name for path in (ROOT / folder).iterdir() if path.is_dir() and any(path.rglob("*.py"))}


def contracts() -> dict[str, configparser.SectionProxy]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return {name: parser[name] for name in parser.sections()}


def test_each_service_orders_all_its_modules() -> None:
    ordered = {
        container
        for contract in contracts().values()
        if contract.get("type") == "layers" and contract.get("exhaustive") == "True"
        for container in contract["containers"].split()
    }
    assert {f"services.{name}" for name in folders_of("services")} <= ordered


def test_types_of_each_package_are_checked() -> None:
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
    libraries = {f"libs.{name}" for name in folders_of("libs") - {PUBLIC_PACKAGE}}
    tools = {f"tools.{name}" for name in folders_of("tools")}
    assert set(checked) == {"services", "tests", "bench", "examples", PUBLIC_PACKAGE, *libraries, *tools}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the code that has the strays."""
    copy = tmp_path_factory.mktemp("strays")
    for folder in ("libs", "services", "examples"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in STRAYS.items():
        (copy / name).parent.mkdir(exist_ok=True)
        with (copy / name).open("a") as file:
            file.write(f"\n{text}\n")
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-c", LINT, str(ROOT)], cwd=copy, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize("stray", STRAYS)
def test_module_without_a_layer_or_with_a_wrong_import_is_rejected(findings: str, stray: str) -> None:
    module = stray.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert module in findings


@pytest.mark.parametrize("root", sorted(ROOT.glob("services/*/app.py")), ids=lambda path: path.parent.name)
def test_composition_root_is_short(root: Path) -> None:
    """What services share in it has one home, `libs/runtime`, and slices offer their own part."""
    assert len(root.read_text().splitlines()) < 50
