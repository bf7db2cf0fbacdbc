"""The statistics of the samples: medians, ratios and aims."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Better = Literal["less", "more"]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie, interpolated linearly; 0.5 is the median."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    index = share * (len(ordered) - 1)
    below = int(index)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (index - below)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return percentile(values, 0.5)


@dataclass(frozen=True, slots=True)
class Aim:
    """The aim of a figure: a multiple of the floor, or a fixed value if `of_floor` is false."""

    value: float
    better: Better
    of_floor: bool = True

    @property
    def text(self) -> str:
        """The aim as text."""
        sign = "≤" if self.better == "less" else "≥"
        return f"{sign} {self.value:g} × floor" if self.of_floor else f"{sign} {self.value:,.0f}"

    def is_met(self, ours: float, floor: float | None) -> bool | None:
        """Return whether the aim is met, or None if there is nothing to compare with."""
        if self.of_floor and not floor:
            return None
        reached = ours / floor if self.of_floor and floor else ours
        return reached <= self.value if self.better == "less" else reached >= self.value


@dataclass(slots=True)
class Row:
    """The measurement of one figure. `floors` and `ours` are the samples in the order in which they were taken."""

    name: str
    title: str
    unit: str
    ours: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)
    floor_title: str = ""
    aim: Aim | None = None
    peers: str = ""
    error: str = ""

    @property
    def ours_median(self) -> float | None:
        """The median of Callboard, or None if nothing was measured."""
        return median(self.ours) if self.ours else None

    @property
    def floor_median(self) -> float | None:
        """The median of the floor, or None if there is no floor."""
        return median(self.floors) if self.floors else None

    @property
    def ratio(self) -> float | None:
        """The ratio of Callboard to the floor."""
        ours, floor = self.ours_median, self.floor_median
        return ours / floor if ours is not None and floor else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met, or None without an aim or a measurement."""
        ours = self.ours_median
        return self.aim.is_met(ours, self.floor_median) if self.aim and ours is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return the samples and the figures derived from them."""
        derived = {"ours_median": self.ours_median, "floor_median": self.floor_median}
        return {**asdict(self), **derived, "ratio": self.ratio, "met": self.met}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Row":
        """Return the row that `to_json` returned."""
        known = {name: value[name] for name in cls.__slots__ if name in value}
        return cls(**{**known, "aim": Aim(**value["aim"]) if value.get("aim") else None})
