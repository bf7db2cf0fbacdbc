"""The output of the demo: steps, events as they arrive, and a progress bar if there is a terminal."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from callboard.types import Event

_WIDTH = 88
_STYLES = {
    "info": "cyan",
    "warn": "yellow",
    "error": "bold red",
    "audit": "green",
}


class Screen:
    """Prints a line for each event, with a progress bar below. Without a terminal, it prints plain lines only."""

    def __init__(self, picture: Path | None = None) -> None:
        self._picture = picture
        self._console = (
            Console(record=True, width=_WIDTH, force_terminal=True, force_interactive=False, highlight=False)
            if picture
            else Console(highlight=False)
        )
        bar = BarColumn(bar_width=40)
        self._progress = Progress(TextColumn("     {task.description}"), bar, console=self._console, transient=True)
        self._bars: dict[str, TaskID] = {}
        self._folded: list[int] = []
        self._quarter = 0

    def __enter__(self) -> "Screen":
        if self._console.is_interactive:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._picture and error is None:
            # Remove the fonts that a browser would load from another site.
            svg = re.sub(r"@font-face \{.*?\}\s*", "", self._console.export_svg(title="make demo"), flags=re.DOTALL)
            self._picture.write_text(svg, encoding="utf-8")

    def step(self, text: str) -> None:
        """Announce the next step of the story."""
        self._console.print()
        self._console.print(f"▸ {text}", style="bold", markup=False)

    def note(self, text: str) -> None:
        """Print a remark."""
        self._console.print(f"  {text}", style="dim", markup=False, soft_wrap=True)

    def event(self, event: Event) -> None:
        """Show an event: its number, type, level and the main part of its payload."""
        if event.type != "command.progress":
            self._line(str(event.seq), event)
        elif event.command_id in self._bars:
            self._advance(event)
        else:
            self._fold(event)

    def _line(self, numbers: str, event: Event) -> None:
        style = _STYLES.get(event.level, "")
        line = Text.assemble(
            (f"{numbers:>7}  ", "dim"), (f"{event.type:<22}", style), (f"{event.level:<6}", "dim"), summary(event)
        )
        if self._console.is_terminal:
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            self._console.print(line, soft_wrap=True)

    def _fold(self, event: Event) -> None:
        """Show progress as one line per quarter, with the numbers of the events that it covers."""
        self._folded.append(event.seq)
        payload = event.payload
        quarter = int(4 * payload["progress"] / (payload["total"] or 1))
        if quarter > self._quarter:
            self._line(f"{self._folded[0]}-{event.seq}", event)
            self._quarter, self._folded = quarter % 4, []

    def table(self, title: str, rows: dict[str, str]) -> None:
        """Show a table of names and values."""
        table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
        for name, value in rows.items():
            table.add_row(f"  {name}", Text(value))
        self._console.print()
        self._console.print(table)

    def failure(self, text: str) -> None:
        """Print why the demo ends early."""
        self._console.print(text, style="bold red", markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, command_id: str, total: int) -> Iterator[None]:
        """Show the command's progress as a bar while the block runs, or as lines without a terminal."""
        if self._console.is_interactive:
            self._bars[command_id] = self._progress.add_task("count", total=total)
        try:
            yield
        finally:
            bar = self._bars.pop(command_id, None)
            if bar is not None:
                self._progress.remove_task(bar)

    def _advance(self, event: Event) -> None:
        payload = event.payload
        self._progress.update(
            self._bars[event.command_id], completed=payload["progress"], description=f"{payload['message']:>8}"
        )


def summary(event: Event) -> str:
    """Return a short summary of an event's payload."""
    payload: dict[str, Any] = event.payload
    if event.type == "command.enqueued":
        return f"{payload['type']} {event.command_id[-6:]}"
    summarise = _SUMMARIES.get(event.type)
    return summarise(payload) if summarise else str(payload.get("reason") or "")


def _failed(payload: dict[str, Any]) -> str:
    """Summarise why an attempt failed. The SDK puts the tool's name in front of the message."""
    return f"attempt {payload['attempt']}: {payload['error']['message'].rpartition(': ')[2]}"


def _bar(payload: dict[str, Any]) -> str:
    done = round(20 * payload["progress"] / (payload["total"] or 1))
    return f"{'━' * done}{'╌' * (20 - done)} {payload['message'] or ''}"


def _result(payload: dict[str, Any]) -> str:
    result = payload.get("result", {})
    content = result.get("content") or [{}]
    return str(content[0].get("text", ""))


_SUMMARIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "agent.connected": lambda payload: f"{payload.get('name', '')}, after {payload['connectMs']} ms",
    "command.started": lambda payload: f"attempt {payload['attempt']}",
    "command.progress": _bar,
    "command.retrying": _failed,
    "command.failed": _failed,
    "command.completed": lambda payload: f"in {payload['durationMs']} ms: {_result(payload)}",
    "command.requeued": lambda payload: f"from {payload['requeuedFrom'][-6:]}",
}
