"""`make check` finds generated files that are stale, and names them."""

import shutil
from pathlib import Path

from tools.protos.artifacts import generated_files, stale_files

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


def test_changed_missing_and_superfluous_files_are_named(tmp_path: Path) -> None:
    fresh, kept = _package(tmp_path / "fresh"), _package(tmp_path / "kept")
    (kept / MODULE).write_text("edited\n")
    (kept / DESCRIPTORS).unlink()
    (kept / "callboard/gone_pb2.py").write_text("of a proto that was deleted\n")
    assert stale_files(fresh, kept) == [MODULE, DESCRIPTORS, "callboard/gone_pb2.py"]
