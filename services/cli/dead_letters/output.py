"""What `callboard dlq` prints: tables for people, JSON for programs."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 240
_LONGEST_MESSAGE = 200
_SHOWN_ROWS = 50


class Output:
    """Prints on standard output; `as_json` prints one JSON document and nothing else."""

    def __init__(self, *, as_json: bool, console: Console | None = None) -> None:
        self.as_json = as_json
        self._console = console or _console()

    def json(self, value: Mapping[str, Any]) -> None:
        """Prints a document."""
        typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

    def listing(self, letters: Sequence[Mapping[str, Any]], next_page_token: str) -> None:
        """Prints a list of dead letters."""
        if self.as_json:
            self.json({"deadLetters": letters, "nextPageToken": next_page_token or None})
            return
        if not letters:
            self._line("no dead letters match")
            return
        rows = [
            (one["id"], one["agentId"], one["type"], one["reason"], f"{one['attempt']}/{one['maxAttempts']}",
             short_time(one["deadAt"]), one["requeuedAs"] or "", (one["error"] or {}).get("message", ""))
            for one in letters
        ]  # fmt: skip
        self._table(("ID", "AGENT", "TYPE", "REASON", "ATTEMPTS", "DEAD AT", "REQUEUED AS", "ERROR"), rows)
        if next_page_token:
            self._line(f"There are more: raise --limit, or go on with --page-token {next_page_token}")

    def letter(self, letter: Mapping[str, Any]) -> None:
        """Prints one dead letter with its attempts."""
        if self.as_json:
            self.json(letter)
            return
        for name, key in (
            ("id", "id"), ("agent", "agentId"), ("session", "sessionId"), ("type", "type"), ("reason", "reason"),
            ("dead at", "deadAt"), ("enqueued at", "enqueuedAt"), ("requested by", "requestedBy"),
            ("correlation", "correlationId"), ("requeued from", "requeuedFrom"), ("requeued as", "requeuedAs"),
        ):  # fmt: skip
            if letter[key]:
                self._line(f"{name + ':':<15}{letter[key]}")
        self._line(f"{'runs:':<15}{letter['chargedAttempts']} of {letter['maxAttempts']} attempts charged, "
                   f"timeout {letter['timeout']:g} s, priority {letter['priority']}")  # fmt: skip
        self._line(f"{'params:':<15}{orjson.dumps(letter['params']).decode()}")
        rows = [
            (str(one["attempt"]), one["outcome"], short_time(one["startedAt"]), f"{one['duration']:.3f} s",
             "yes" if one["charged"] else "no", one["runnerId"] or "", (one["error"] or {}).get("code", ""),
             (one["error"] or {}).get("message", ""))
            for one in letter["attempts"]
        ]  # fmt: skip
        self._table(("ATTEMPT", "OUTCOME", "STARTED", "TOOK", "CHARGED", "RUNNER", "CODE", "ERROR"), rows)

    def outcome(self, outcome: Mapping[str, Any], verb: str) -> None:
        """Prints what became of many: a few are all shown, of many only those that were refused."""
        if self.as_json:
            self.json(outcome)
            return
        results = outcome["results"]
        shown = results if len(results) <= _SHOWN_ROWS else [one for one in results if one["refusal"]]
        if shown:
            self._table(("DEAD LETTER", "OUTCOME"), [(one["id"], _outcome(one, verb)) for one in shown])
        would = "would be " if outcome["dryRun"] else ""
        line = f"{outcome[verb]} {would}{verb}, {outcome['refused']} {would}refused"
        if outcome["matched"] is not None:
            line += f"; {outcome['matched']}{'+' if outcome['matched'] >= 10_000 else ''} match"
        self._line(line + ("; more match" if outcome["more"] and not outcome["dryRun"] else ""))

    def _table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for head in heads:
            table.add_column(head, no_wrap=head not in {"ERROR", "OUTCOME"}, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        self._console.print(table)

    def _line(self, text: str) -> None:
        self._console.print(Text(plain(text, longest=None)), soft_wrap=True)


def plain(text: str, longest: int | None = _LONGEST_MESSAGE) -> str:
    """Returns text of others, such as a tool's error, without what could steer a terminal."""
    shown = "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def short_time(text: str) -> str:
    """Returns a time to the second."""
    return f"{text[:10]} {text[11:19]}Z"


def _outcome(one: Mapping[str, Any], verb: str) -> str:
    if one["refusal"]:
        return f"refused: {one['refusal']['reason']}: {one['refusal']['message']}"
    return f"{verb} as {one['jobId']}" if one.get("jobId") else verb


def _console() -> Console:
    console = Console(highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(highlight=False, width=_PIPED_WIDTH)
