"""Tests the checker: patches a copy of the source tree with each mutation, runs it, and expects a violation.

Controls without a mutation run first. They must be sound, or the verdict on a mutation means nothing.

python -m tests.chaos.mutate [--only WORD] [--seed N]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.check import check
from tests.chaos.mutation import Mutation, control, is_caught
from tests.chaos.mutations import MUTATIONS

_ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("services", "libs", "tests", "examples")
_RATE = 30.0
_TIMEOUT = 900.0  # seconds
_CONTROLS = tuple(control(faults) for faults in sorted({mutation.faults for mutation in MUTATIONS}))


class StaleMutationError(Exception):
    """The code that a mutation replaces has changed, so the mutation must be updated."""


def mutated_tree(mutation: Mutation, folder: Path) -> None:
    """Copy the source tree and patch the copy. Raises StaleMutationError."""
    for name in _COPIED:
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in mutation.patches:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise StaleMutationError(f"{file} has no {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")


def found_by(mutation: Mutation, seed: int, out: Path) -> tuple[set[str], str]:
    """Run the mutated suite. Returns the violated rules and the end of the output."""
    with tempfile.TemporaryDirectory(prefix="callboard-mutation-") as name:
        folder = Path(name)
        mutated_tree(mutation, folder)
        paths = os.pathsep.join([name, str(folder / "libs/callboard")])
        command = [sys.executable, "-m", "tests.chaos", "--seed", str(seed), "--faults", mutation.faults]
        command += ["--minutes", str(mutation.seconds / 60), "--rate", str(_RATE), "--settle", "15", "--out", str(out)]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
            timeout=_TIMEOUT, check=False,
        )  # fmt: skip
    said = (done.stdout + done.stderr)[-4000:]
    return {violation.rule for violation in check(out)}, said


def main() -> int:
    """Run all mutations, or those selected by name. Returns 1 if one is not found or a control is not sound."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutate")
    parser.add_argument("--only", default="", help="run the mutations whose name contains one of these words")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    words, missed = options.only.split(","), 0
    for mutation in [each for each in (*_CONTROLS, *MUTATIONS) if any(word in each.name for word in words)]:
        out = Path(tempfile.mkdtemp(prefix="callboard-chaos-mutation-"))
        try:
            rules, said = found_by(mutation, options.seed, out)
        except (StaleMutationError, subprocess.TimeoutExpired) as error:
            rules, said = set(), str(error)
        found = is_caught(mutation, rules)
        missed += not found
        verdict = ("found" if mutation.rules else "sound") if found else "MISSED"
        sys.stdout.write(f"{verdict:7} {mutation.name}: {', '.join(sorted(rules)) or 'nothing'} ({out})\n")
        if not found:
            sys.stdout.write(f"{said}\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
