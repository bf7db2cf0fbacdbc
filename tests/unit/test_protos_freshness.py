"""`make protos` replaces generated files. `make check` reports stale ones."""

import shutil
from pathlib import Path

import pytest

from tools.protos import __main__ as protos
from tools.protos.artifacts import generated_files, replace_files, stale_files
from tools.protos.clients.schema import ContractError

MODULE = "callboard/agents/v1/agents_pb2.py"
DESCRIPTORS = "callboard/descriptors.binpb"


def _package(folder: Path) -> Path:
    (folder / MODULE).parent.mkdir(parents=True)
    (folder / MODULE).write_text("fresh\n")
    (folder / DESCRIPTORS).write_bytes(b"fresh")
    (folder / "callboard/written_by_hand.py").write_text("no matter\n")
    return folder


def test_same_files_are_not_stale(tmp_path: Path) -> None:
    fresh = _package(tmp_path / "fresh")
    shutil.copytree(fresh, tmp_path / "kept")
    assert generated_files(fresh).keys() == {MODULE, DESCRIPTORS}
    assert stale_files(fresh, tmp_path / "kept") == []


def test_changed_missing_and_extra_files_are_reported(tmp_path: Path) -> None:
    fresh, kept = _package(tmp_path / "fresh"), _package(tmp_path / "kept")
    (kept / MODULE).write_text("edited\n")
    (kept / DESCRIPTORS).unlink()
    (kept / "callboard/gone_pb2.py").write_text("of a proto that was deleted\n")
    assert stale_files(fresh, kept) == [MODULE, DESCRIPTORS, "callboard/gone_pb2.py"]


def test_new_files_replace_all_generated_ones(tmp_path: Path) -> None:
    fresh, kept = _package(tmp_path / "fresh"), _package(tmp_path / "kept")
    (fresh / "callboard/new/v1").mkdir(parents=True)
    (fresh / "callboard/new/v1/new_pb2.py").write_text("of a new proto\n")
    (kept / "callboard/gone_pb2.py").write_text("of a proto that was deleted\n")
    replace_files(fresh, kept)
    assert stale_files(fresh, kept) == []
    assert (kept / "callboard/written_by_hand.py").exists()
    assert (kept / "callboard/new/__init__.py").exists()
    assert (kept / "callboard/new/v1/__init__.py").exists()


def test_contract_without_a_client_fails_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(action: str) -> None:
        raise ContractError(f"{action}: AgentService.Watch is a stream")

    monkeypatch.setattr(protos, "run", fail)
    monkeypatch.setattr("sys.argv", ["protos", "check"])
    with pytest.raises(SystemExit, match=r"^the clients cannot be generated: check: AgentService\.Watch is a stream$"):
        protos.main()
