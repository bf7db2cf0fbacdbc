"""Figures, and how they are measured beside their floors."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from bench.rig import Rig
from bench.stats import Aim, Row

Sample = Callable[[], Awaitable[float]]
"""Takes one sample."""


@dataclass(slots=True)
class Sides:
    """The two sides of a comparison. `extra` are rows from the same samples."""

    ours: Sample
    floor: Sample | None = None
    extra: list[Row] = field(default_factory=list)


class Figure(Protocol):
    """Something that can be measured."""

    @property
    def name(self) -> str:
        """The name for `--only`."""

    @property
    def alone(self) -> bool:
        """Whether it needs a suite on which nothing else was measured."""

    async def measure(self, rig: Rig) -> Sequence[Row]:
        """Measure it, and return a row for each figure."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A figure with a floor. One sample of each warms up and does not count. Then the floor and Callboard take turns,
    so that other load on the machine affects both.
    """

    name: str
    title: str
    unit: str
    prepare: Callable[[Rig], AbstractAsyncContextManager[Sides]]
    aim: Aim | None = None
    floor_title: str = ""
    peers: str = ""
    alone: bool = False

    async def measure(self, rig: Rig) -> Sequence[Row]:
        """Take the samples alternately."""
        row = Row(
            self.name, self.title, self.unit, aim=self.aim, floor_title=self.floor_title, peers=self.peers
        )  # fmt: skip
        async with self.prepare(rig) as sides:
            for number in range(rig.rounds + 1):
                if number == 1:
                    for warmed in sides.extra:
                        warmed.ours.clear()
                        warmed.floors.clear()
                await asyncio.sleep(rig.settle)  # so that Callboard's pending work does not affect the floor
                floor = await sides.floor() if sides.floor else None
                ours = await sides.ours()
                if number:
                    row.ours.append(ours)
                    row.floors += [floor] if floor is not None else []
        return [row, *sides.extra]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Figures without a floor."""

    name: str
    take: Callable[[Rig], Awaitable[Sequence[Row]]]
    alone: bool = False

    async def measure(self, rig: Rig) -> Sequence[Row]:
        """Take the figures."""
        return await self.take(rig)
