"""Runs the suite under faults on a seeded schedule, then checks the recorded history (`make chaos`).

python -m tests.chaos --seed 7 --faults F1,F4 --minutes 5
python -m tests.chaos --schedule DIR/schedule.json        repeat a run
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.check import check, report
from tests.chaos.run import run
from tests.chaos.schedule import RECIPES, Schedule, plan
from tests.chaos.settle import SETTLE_SECONDS


def main() -> int:
    """Run and check. Returns 1 if a rule is violated."""
    options = _parser().parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    faults = options.faults or list(RECIPES)
    schedule = Schedule.load(options.schedule) if options.schedule else plan(seed, faults, options.minutes * 60)
    out = options.out or Path(tempfile.mkdtemp(prefix=f"callboard-chaos-{schedule.seed}-"))
    sys.stdout.write(f"seed {schedule.seed}: {','.join(schedule.faults)} for {schedule.seconds:g} s, saved in {out}\n")
    sys.stdout.flush()
    began = time.monotonic()
    asyncio.run(run(schedule, out, rate=options.rate, settle_seconds=options.settle))
    violations = check(out)
    sys.stdout.write(f"{report(out, violations)}\n{time.monotonic() - began:.0f} s in total\n")
    sys.stdout.write("VIOLATED\n" if violations else "all rules hold\n")
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--faults", type=_faults, default=[], help=f"any of {', '.join(RECIPES)}; default: all")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=50.0, help="submits a second")
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds for everything to end afterwards")
    parser.add_argument("--schedule", type=Path, help="a saved schedule to repeat")
    parser.add_argument("--out", type=Path, help="the folder for the saved run")
    return parser


def _faults(text: str) -> list[str]:
    found = [fault for fault in text.split(",") if fault]
    unknown = [fault for fault in found if fault not in RECIPES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
