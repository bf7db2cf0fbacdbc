"""Runs the pinned protoc and buf on the files of the contract."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
BIN = Path(sys.executable).parent


def run(*arguments: str | Path) -> None:
    """Run a tool. Exit with its status when it fails."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"  # protoc finds its plugins there
    done = subprocess.run([str(a) for a in arguments], check=False, env={**os.environ, "PATH": path})
    if done.returncode:
        sys.exit(done.returncode)


def run_buf(action: str, image: Path, *arguments: str | Path) -> None:
    """Run buf on a descriptor set."""
    run(BIN / "buf", action, image, *arguments, "--config", PROTOS / "buf.yaml")


def source_files() -> list[str]:
    """Return the contract's files, relative to the folder of protos."""
    return sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "callboard").rglob("*.proto"))


class Compiler:
    """protoc, with the imports of the contract taken from installed packages.

    The packages supply descriptors (also of protovalidate's rules and google.api's annotations), so that this tree
    needs no copies of their files.
    """

    def __init__(self, folder: Path) -> None:
        self._imports = folder / "imports.binpb"
        self._imports.write_bytes(_imported_descriptors())

    def compile(self, *arguments: str, files: list[str]) -> None:
        """Run protoc on files, each named relative to the folder of protos."""
        sources = [f"-I{PROTOS}", f"--descriptor_set_in={self._imports}"]
        run(sys.executable, "-m", "grpc_tools.protoc", *sources, *arguments, *files)

    def write_descriptors(self, target: Path) -> None:
        """Write the contract with its imports and comments as a FileDescriptorSet."""
        self.compile(
            "--include_imports", "--include_source_info", f"--descriptor_set_out={target}", files=source_files()
        )


def _imported_descriptors() -> bytes:
    """Return the files that the contract may import, as a serialized FileDescriptorSet."""
    from google.api import annotations_pb2, field_behavior_pb2, http_pb2
    from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
    from protovalidate._gen.buf.validate import validate_pb

    files = descriptor_pb2.FileDescriptorSet()
    modules: list[ModuleType] = [descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2]
    for module in (*modules, http_pb2, annotations_pb2, field_behavior_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    return files.SerializeToString(deterministic=True)
