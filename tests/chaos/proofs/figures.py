"""The figures of a proof, compared with their aims, as rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.stats import percentile

HEAD = "| what | how many | p50 | p99 | max | aim | verdict |\n|---|---|---|---|---|---|---|"
_VERDICTS = {True: "met", False: "**missed**", None: ""}


class Figure(Protocol):
    """One row of the table."""

    @property
    def row(self) -> str:
        """The row in Markdown."""

    @property
    def met(self) -> bool | None:
        """Whether the aim was met, or None without an aim."""


@dataclass(frozen=True)
class Tally:
    """A count: `found` of `of` things. `most` and `least` bound it."""

    what: str
    of: int
    found: int
    most: int | None = None
    least: int | None = None

    @property
    def met(self) -> bool | None:
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.found <= self.most) and (self.least is None or self.found >= self.least)

    @property
    def row(self) -> str:
        bounds = [f"≤ {self.most:,}"] if self.most is not None else []
        bounds += [f"≥ {self.least:,}"] if self.least is not None else []
        return _row(self.what, f"{self.found:,} of {self.of:,}", "", "", "", " and ".join(bounds), _VERDICTS[self.met])


@dataclass(frozen=True)
class Spans:
    """Durations in seconds. `pending` of them never ended: they count with the time waited, and miss every aim.

    `aims` gives limits in seconds for shares of them (0.99, or 1.0 for the slowest).
    """

    what: str
    seconds: Sequence[float]
    aims: Sequence[tuple[float, float]] = ()
    pending: int = 0

    @property
    def met(self) -> bool | None:
        if not self.aims:
            return None
        within = [percentile(self.seconds, share) <= limit for share, limit in self.aims if self.seconds]
        return bool(within) and all(within) and not self.pending

    @property
    def row(self) -> str:
        many = f"{len(self.seconds):,}" + (f", {self.pending:,} of them never" if self.pending else "")
        shown = [f"{percentile(self.seconds, share):.2f} s" if self.seconds else "" for share in (0.5, 0.99, 1.0)]
        aims = ", ".join(f"{_name(share)} ≤ {limit:g} s" for share, limit in self.aims)
        return _row(self.what, many, *shown, aims, _VERDICTS[self.met])


def table(figures: Sequence[Figure]) -> str:
    """Return all rows with the header."""
    return "\n".join([HEAD, *(figure.row for figure in figures)])


def _name(share: float) -> str:
    return "max" if share == 1.0 else f"p{share * 100:g}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
