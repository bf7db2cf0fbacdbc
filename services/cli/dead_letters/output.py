"""Prints the responses of `callboard dlq`: as tables, or as REST's JSON for programs."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from callboard.commands.v1 import commands_pb2
from libs.contract import write_message
from services.cli.json_output import print_json
from services.cli.text import plain

_PIPED_WIDTH = 240
_SHOWN_ROWS = 50
_MOST_COUNTED = 10_000


class DeadLetterOutput:
    """Prints responses on standard output. With `as_json` it prints one JSON document and nothing else."""

    def __init__(self, *, as_json: bool, console: Console | None = None) -> None:
        self._as_json = as_json
        self._console = console or _console()

    def listing(self, response: commands_pb2.ListDeadLettersResponse) -> None:
        """Print a list of dead letters."""
        if self._printed(response):
            return
        if not response.dead_letters:
            self._line("no dead letters match")
            return
        dead_letters = write_message(response)["deadLetters"]
        heads = ("ID", "AGENT", "TYPE", "REASON", "ATTEMPTS", "DEAD AT", "REQUEUED AS", "ERROR")
        self._table(heads, [_row(one, one["command"]) for one in dead_letters])
        if response.next_page_token:
            self._line(f"There are more: raise --limit, or continue with --page-token {response.next_page_token}")

    def dead_letter(self, response: commands_pb2.GetDeadLetterResponse) -> None:
        """Print one dead letter with its attempts."""
        if self._printed(response.dead_letter):
            return
        dead_letter = write_message(response.dead_letter)
        command = dead_letter["command"]
        for name, value in (
            ("id", dead_letter["id"]), ("agent", command["agentId"]), ("session", command["sessionId"]),
            ("type", command["type"]), ("reason", dead_letter["reason"]), ("dead at", dead_letter["deadAt"]),
            ("enqueued at", command["enqueuedAt"]), ("requested by", command["requestedBy"]),
            ("correlation", command["correlationId"]), ("requeued from", command["requeuedFrom"]),
            ("requeued as", dead_letter["requeuedAs"]),
        ):  # fmt: skip
            if value:
                self._line(f"{name + ':':<15}{value}")
        self._line(f"{'runs:':<15}{command['chargedAttempts']} of {command['maxAttempts']} attempts charged, "
                   f"timeout {command['timeout']:g} s, priority {command['priority']}")  # fmt: skip
        self._line(f"{'params:':<15}{orjson.dumps(command['params']).decode()}")
        heads = ("ATTEMPT", "OUTCOME", "STARTED", "TOOK", "CHARGED", "RUNNER", "CODE", "ERROR")
        self._table(heads, [_attempt_row(one) for one in dead_letter["attempts"]])

    def requeued(self, response: commands_pb2.RequeueDeadLettersResponse) -> None:
        """Print the outcome of a requeue."""
        if not self._printed(response):
            self._outcome(response, "requeued", response.requeued)

    def purged(self, response: commands_pb2.PurgeDeadLettersResponse) -> None:
        """Print the outcome of a purge."""
        if not self._printed(response):
            self._outcome(response, "purged", response.purged)

    def _printed(self, message: Message) -> bool:
        """Print a message if the output is JSON, and return whether it was printed."""
        if self._as_json:
            print_json(write_message(message))
        return self._as_json

    def _outcome(
        self,
        response: commands_pb2.RequeueDeadLettersResponse | commands_pb2.PurgeDeadLettersResponse,
        verb: str,
        count: int,
    ) -> None:
        """Print each outcome, or only the rejected ones if there are many, and then the totals."""
        results = write_message(response)["results"]
        shown = results if len(results) <= _SHOWN_ROWS else [one for one in results if one["refusal"]]
        if shown:
            self._table(("DEAD LETTER", "OUTCOME"), [(one["id"], _outcome_of(one, verb)) for one in shown])
        would = "would be " if response.dry_run else ""
        line = f"{count} {would}{verb}, {response.refused} {would}rejected"
        if response.HasField("matched"):
            line += f"; {response.matched}{'+' if response.matched >= _MOST_COUNTED else ''} match"
        self._line(line + ("; more match" if response.more and not response.dry_run else ""))

    def _table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for head in heads:
            table.add_column(head, no_wrap=head not in {"ERROR", "OUTCOME"}, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        self._console.print(table)

    def _line(self, text: str) -> None:
        self._console.print(Text(plain(text, longest=None)), soft_wrap=True)


def _row(row: Mapping[str, Any], command: Mapping[str, Any]) -> Sequence[str]:
    return (
        row["id"], command["agentId"], command["type"], row["reason"],
        f"{command['attempt']}/{command['maxAttempts']}", _to_the_second(row["deadAt"]), row["requeuedAs"] or "",
        (command["error"] or {}).get("message", ""),
    )  # fmt: skip


def _attempt_row(attempt: Mapping[str, Any]) -> Sequence[str]:
    error = attempt["error"] or {}
    return (
        str(attempt["attempt"]), attempt["outcome"] or "", _to_the_second(attempt["startedAt"]),
        f"{attempt['duration'] or 0:.3f} s", "yes" if attempt["charged"] else "no", attempt["runnerId"] or "",
        error.get("code", ""), error.get("message", ""),
    )  # fmt: skip


def _to_the_second(time: str | None) -> str:
    return f"{time[:10]} {time[11:19]}Z" if time else ""


def _outcome_of(result: Mapping[str, Any], verb: str) -> str:
    if result["refusal"]:
        return f"rejected: {result['refusal']['reason']}: {result['refusal']['message']}"
    return f"{verb} as {result['jobId']}" if result.get("jobId") else verb


def _console() -> Console:
    console = Console(highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(highlight=False, width=_PIPED_WIDTH)
