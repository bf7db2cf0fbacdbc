"""Generate Python code and data from the contract, or check both.

Usage: python -m tools.protos generate | check | release

`check` fails when the contract breaks a lint rule or the released contract, or when a generated file is stale.
`release` stores the contract as the released one, which later ones must not break (protos/released.binpb).
"""

import sys
import tempfile
from pathlib import Path

from tools.protos.artifacts import PACKAGE, generate, replace_files, stale_files
from tools.protos.clients.schema import GeneratorError
from tools.protos.compiler import PROTOS, Compiler, run_buf
from tools.protos.compiler import run as run_tool

RELEASED = PROTOS / "released.binpb"


def check(compiler: Compiler, folder: Path) -> None:
    """Exit with a message when the contract breaks a lint rule or the released contract, or a file is stale."""
    image = folder / "image.binpb"
    compiler.write_descriptors(image)
    run_buf("lint", image)
    if RELEASED.exists():
        run_buf("breaking", image, "--against", RELEASED)
    generate(compiler, folder / "out")
    stale = stale_files(folder / "out", PACKAGE)
    if stale:
        sys.exit("generated files are stale; run `make protos`:\n  " + "\n  ".join(stale))
    run_tool(sys.executable, "-m", "libs.contract")  # in its own process, because it reads the generated files


def main() -> None:
    """Run the action that the first argument names."""
    action = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        run(action)
    except GeneratorError as error:
        sys.exit(f"the clients cannot be generated: {error}")


def run(action: str) -> None:
    """Run an action."""
    with tempfile.TemporaryDirectory() as name:
        compiler = Compiler(Path(name))
        if action == "generate":
            generate(compiler, Path(name) / "out")
            replace_files(Path(name) / "out", PACKAGE)
        elif action == "check":
            check(compiler, Path(name))
        elif action == "release":
            compiler.write_descriptors(RELEASED)
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
