"""What a figure is, and how it is measured beside its floor."""

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
    """What is compared. `extra` are rows that fall out of the same samples."""

    ours: Sample
    floor: Sample | None = None
    extra: list[Row] = field(default_factory=list)


class Figure(Protocol):
    """Something to measure, by name."""

    @property
    def name(self) -> str:
        """What `--only` calls it."""

    @property
    def alone(self) -> bool:
        """Whether it needs a suite that nothing else was measured on."""

    async def measure(self, rig: Rig) -> Sequence[Row]:
        """Measure it, and return a row for each number."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A figure with a floor. Both are warmed up by one sample that does not count, then floor and ours take turns, so
    that what else the machine does falls on both.
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
        """Take the samples in turn."""
        row = Row(
            self.name, self.title, self.unit, aim=self.aim, floor_title=self.floor_title, peers=self.peers
        )  # fmt: skip
        async with self.prepare(rig) as sides:
            for number in range(rig.rounds + 1):
                if number == 1:
                    for warmed in sides.extra:
                        warmed.ours.clear()
                        warmed.floors.clear()
                await asyncio.sleep(rig.settle)  # so that none of ours falls on the floor
                floor = await sides.floor() if sides.floor else None
                ours = await sides.ours()
                if number:
                    row.ours.append(ours)
                    row.floors += [floor] if floor is not None else []
        return [row, *sides.extra]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Figures that have no floor to take turns with."""

    name: str
    take: Callable[[Rig], Awaitable[Sequence[Row]]]
    alone: bool = False

    async def measure(self, rig: Rig) -> Sequence[Row]:
        """Take them."""
        return await self.take(rig)
