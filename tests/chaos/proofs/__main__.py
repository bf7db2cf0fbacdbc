"""Measures what Callboard promises under faults, each proof on a separate suite (`make chaos-proofs`).

python -m tests.chaos.proofs --only kills --seed 7
python -m tests.chaos.proofs --only pauses --times 5      smaller, while developing
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.proofs.all import PROOFS
from tests.chaos.proofs.figures import HEAD, Figure


def main() -> int:
    """Run the proofs and print their rows. Returns 1 if an aim was missed."""
    options = _parser().parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    out = options.out or Path(tempfile.mkdtemp(prefix=f"callboard-proofs-{seed}-"))
    figures: list[Figure] = []
    for name in [options.only] if options.only else PROOFS:
        proof, size = PROOFS[name]
        times, began = options.times or size, time.monotonic()
        found = asyncio.run(proof(out / name, times, seed))
        figures += found
        _print(
            f"\n{name}: {times} times, seed {seed}, {time.monotonic() - began:.0f} s, saved in {out / name}\n\n{HEAD}"
        )
        _print("\n".join(figure.row for figure in found))
    missed = sum(figure.met is False for figure in figures)
    _print(f"\nseed {seed}: " + (f"{missed} aims missed" if missed else "all aims met"))
    return 1 if missed else 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.proofs")
    parser.add_argument("--only", choices=list(PROOFS), help="run only this proof")
    parser.add_argument(
        "--times", type=int, default=0, help="the number of repetitions; the default depends on the proof"
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", type=Path, help="the folder for the saved runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
