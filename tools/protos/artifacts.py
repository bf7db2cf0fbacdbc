"""Generates the files of the public package, replaces them, and finds stale ones."""

import filecmp
import shutil
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.protos.clients.catalog import read_catalog
from tools.protos.clients.render import FILES, write_clients
from tools.protos.clients.schema import Schema
from tools.protos.compiler import PROTOS, ROOT, Compiler, source_files

PACKAGE = ROOT / "libs" / "callboard"
DESCRIPTORS = Path("callboard/descriptors.binpb")


def replace_files(fresh_folder: Path, kept_folder: Path) -> None:
    """Replace the kept files by the fresh ones. A new folder becomes a package."""
    for old in generated_files(kept_folder).values():
        old.unlink()
    for name, path in generated_files(fresh_folder).items():
        target = kept_folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in Path(name).parents[:-1]:
            (kept_folder / folder / "__init__.py").touch()
        shutil.copy(path, target)


def generate(compiler: Compiler, target: Path) -> None:
    """Write the generated files below an empty folder. Raises ContractError."""
    (target / DESCRIPTORS).parent.mkdir(parents=True, exist_ok=True)
    compiler.write_descriptors(target / DESCRIPTORS)
    _generate_messages(compiler, target)
    files = FileDescriptorSet.FromString((target / DESCRIPTORS).read_bytes())
    write_clients(read_catalog(Schema(files)), target)


def generated_files(folder: Path) -> dict[str, Path]:
    """Return the generated files below a folder, by relative name."""
    found = [path for path in folder.rglob("*_pb2*") if path.suffix in {".py", ".pyi"}]
    found += [path for path in (folder / DESCRIPTORS, *(folder / name for name in FILES)) if path.exists()]
    return {str(path.relative_to(folder)): path for path in found}


def stale_files(fresh_folder: Path, kept_folder: Path) -> list[str]:
    """Return the names of the files that are missing, superfluous or different from the fresh ones."""
    fresh, kept = generated_files(fresh_folder), generated_files(kept_folder)
    return sorted(
        name
        for name in fresh.keys() | kept.keys()
        if name not in fresh or name not in kept or not filecmp.cmp(fresh[name], kept[name], shallow=False)
    )


def _generate_messages(compiler: Compiler, target: Path) -> None:
    """Write the message classes and the gRPC stubs of the contract, and the classes of protovalidate's rules."""
    own = source_files()
    python, stubs = f"--python_out={target}", f"--mypy_out=quiet:{target}"
    compiler.compile(python, stubs, files=["buf/validate/validate.proto", *own])
    compiler.compile(f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet,only_async:{target}", files=own)
    for module in target.rglob("*_pb2_grpc.py*"):
        source = PROTOS / (str(module.relative_to(target)).split("_pb2_grpc")[0] + ".proto")
        if "\nservice " not in source.read_text(encoding="utf-8"):
            module.unlink()
