"""`python -m bench` measures, prints a table, and writes JSON. Exits with 1 if a figure could not be measured."""

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop
from rich.console import Console

from bench.figure import Figure
from bench.figures import FIGURES
from bench.report import Run, markdown, put_between_marks, show
from bench.rig import Rig, running_suite
from bench.stats import Row

_ROOT = Path(__file__).resolve().parent
_PAGE = _ROOT.parent / "docs" / "performance.md"
_FIGURE_SECONDS = 300.0
_WIDTH = 160  # without a terminal


def _arguments() -> argparse.Namespace:
    names = [figure.name for figure in FIGURES]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME,...", help=f"only these figures: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="a check in under a minute; the numbers mean little")
    parser.add_argument("--full", action="store_true", help="growth up to 10^6 rows; takes some minutes more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the JSON; bench/out/<time>.json")
    parser.add_argument("--markdown", action="store_true", help="write the table into docs/performance.md, too")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="show this JSON instead of measuring")
    arguments = parser.parse_args()
    selected = arguments.only.split(",") if arguments.only else names
    if unknown := sorted(set(selected) - set(names)):
        parser.error(f"unknown figures: {', '.join(unknown)}; the figures are {', '.join(names)}")
    arguments.figures = [figure for figure in FIGURES if figure.name in selected]
    return arguments


async def _measure(rig: Rig, figure: Figure, console: Console) -> Sequence[Row]:
    """Measure a figure. A failure becomes a row with the error, and the other figures continue."""
    began = time.perf_counter()
    known = len(rig.restarted)
    try:
        async with asyncio.timeout(_FIGURE_SECONDS):
            rows = await figure.measure(rig)
        if names := rig.restarted[known:]:
            raise RuntimeError(f"processes ended during the measurement: {', '.join(names)}")
    except Exception as error:  # noqa: BLE001 - the failure of one figure must not stop the others
        console.log(f"{figure.name}: {type(error).__name__}: {error}", style="red", markup=False)
        rows = [Row(figure.name, figure.name, "", error=f"{type(error).__name__}")]
    console.log(f"{figure.name} ({time.perf_counter() - began:.1f} s)")
    return rows


async def _run(arguments: argparse.Namespace, console: Console) -> Run:
    began = time.perf_counter()
    if this := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    rows: list[Row] = []
    version = 0
    together = [figure for figure in arguments.figures if not figure.alone]
    alone = [[figure] for figure in arguments.figures if figure.alone]
    for figures in [together, *alone] if together else alone:
        async with running_suite(quick=arguments.quick, full=arguments.full) as rig:
            console.log(f"suite is up ({time.perf_counter() - began:.1f} s since the start)")
            async with await rig.database() as connection:
                version = connection.info.server_version
            for figure in figures:
                rows += await _measure(rig, figure, console)
    mode = "quick" if arguments.quick else "full" if arguments.full else "default"
    return Run.of(rows, mode, time.perf_counter() - began, f"{version // 10_000}.{version % 10_000}")


def main() -> int:
    """Run, and return the exit code."""
    arguments = _arguments()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(stderr=True)
    if arguments.source:
        run = Run.read(arguments.source)
    else:
        try:
            run = uvloop.run(_run(arguments, console))
        except (asyncio.CancelledError, KeyboardInterrupt):
            console.log("stopped; no processes or files are left")
            return 130
        path = arguments.json or _ROOT / "out" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        run.write(path)
        console.log(f"written to {path.name}")
    show(run, Console() if sys.stdout.isatty() else Console(width=_WIDTH))
    if arguments.markdown:
        _PAGE.write_text(put_between_marks(_PAGE.read_text(encoding="utf-8"), markdown(run)), encoding="utf-8")
    return 1 if any(row.error for row in run.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
