"""Reads which commands a target of the Makefile runs."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def commands_of(target: str) -> list[list[str]]:
    """The commands of a target as words. Programs of the environment begin with `.venv/bin/`."""
    text = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin").replace("$(PYTHON)", ".venv/bin/python")
    lines = text.partition(f"\n{target}:")[2].partition("\n\n")[0].splitlines()[1:]
    return [line.strip().removeprefix("@").split() for line in lines]
