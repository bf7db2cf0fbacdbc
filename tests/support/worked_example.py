"""Reads a page of docs that describes, file by file, a change of the code, and applies it to a copy of the checkout.

A step is a heading with a number and a path, and the blocks below it. A `diff` block is a change without line numbers:
its lines that begin with a space or a minus occur once in the file, in sequence. Any other block is a new file.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("docs/add-an-rpc.md", "docs/add-a-field.md")
_STEP = re.compile(r"^### \d+\. `([^`]+)`.*$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".callboard", ".hypothesis", "out")


@dataclass(frozen=True)
class Step:
    """The change of one file: (kind of block, text) for each block."""

    path: str
    blocks: tuple[tuple[str, str], ...]


def steps_of(page: str) -> list[Step]:
    """The steps of a page, in order."""
    parts = _STEP.split((ROOT / page).read_text())
    return [Step(path, tuple(_BLOCK.findall(text))) for path, text in zip(parts[1::2], parts[2::2], strict=True)]


def copy_of_checkout(folder: Path) -> Path:
    """A copy of the checkout with the caches of its tools, so that they only look at what changes."""
    return shutil.copytree(ROOT, folder / "checkout", ignore=_LEFT_OUT)


def apply(step: Step, checkout: Path) -> None:
    """Applies a step; fails with the block that does not fit."""
    path = checkout / _numbered(step.path, checkout)
    for kind, text in step.blocks:
        if kind == "diff":
            path.write_text(_changed(path.read_text(), text, step.path))
        else:
            assert not path.exists(), f"{step.path} is there already"
            path.write_text(text)


def _numbered(path: str, checkout: Path) -> str:
    """A migration's path with the next number for `NNNN`."""
    folder, _, name = path.rpartition("/")
    count = len(list((checkout / folder).glob("[0-9]*"))) if "NNNN" in name else 0
    return path.replace("NNNN", f"{count + 1:04}")


def _changed(text: str, diff: str, where: str) -> str:
    lines = [(line[:1], line[1:]) for line in diff.splitlines()]
    assert {sign for sign, _ in lines} <= {" ", "+", "-", ""}, f"{where}: begin each line of a diff with space, + or -"
    old = "".join(f"{line}\n" for sign, line in lines if sign != "+")
    new = "".join(f"{line}\n" for sign, line in lines if sign != "-")
    found = text.count(old)
    assert found == 1, f"{where}: this occurs {found} times, and not once:\n{old}"
    return text.replace(old, new)
