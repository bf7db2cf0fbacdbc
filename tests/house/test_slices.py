"""A slice knows another only by what the other offers: its use cases and its values."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("session", "command", "runner")
OFFERED = {"service", "model"}
"""The modules of a slice that another slice may import."""
ADAPTERS = {"handler", "convert"}
"""The modules of a slice that may also convert with another slice's `convert`: both know the protos."""
SLICE_FILES = {"model", "service", "ports", "store", "handler"}


BEHIND_PORTS = {"executors", "sources"}
"""Folders of the runner that are no slices: each is a port and its implementations."""


def slices_of(service: str) -> list[str]:
    folder = ROOT / "services" / service
    return sorted(path.parent.name for path in folder.glob("*/__init__.py") if path.parent.name not in BEHIND_PORTS)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("service", SERVICES)
def test_slice_imports_another_only_through_its_service_or_model(service: str) -> None:
    wrong = []
    for name in slices_of(service):
        for path in (ROOT / "services" / service / name).glob("*.py"):
            for module in imports_of(path):
                _, _, rest = module.partition(f"services.{service}.")
                other, _, part = rest.partition(".")
                if not part or other in {name, *BEHIND_PORTS} or part in OFFERED:
                    continue
                if part != "convert" or path.stem not in ADAPTERS:
                    wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong


@pytest.mark.parametrize("service", SERVICES)
def test_service_lists_its_slices_in_import_order(service: str) -> None:
    package = (ROOT / "services" / service / "__init__.py").read_text(encoding="utf-8")
    stated = [name.strip(" .") for name in package.strip('"\n').rpartition(":")[2].split(",")]
    assert sorted(stated) == slices_of(service)
    for name in stated:
        for path in (ROOT / "services" / service / name).glob("*.py"):
            for module in imports_of(path):
                other = module.removeprefix(f"services.{service}.").partition(".")[0]
                if other in stated:
                    assert stated.index(other) >= stated.index(name), f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("service", SERVICES)
def test_slices_have_the_same_files(service: str) -> None:
    for name in slices_of(service):
        found = {path.stem for path in (ROOT / "services" / service / name).glob("*.py")}
        missing = SLICE_FILES - found
        assert missing <= {"handler"}, f"services/{service}/{name} lacks {sorted(missing)}"
