"""Rules for failpoints, parsed from text: `name=action[:seconds][@probability];...`."""

import math
from dataclasses import dataclass
from enum import StrEnum

from libs.failpoints.registry import NAMES, PLACES, STATEMENTS


class Action(StrEnum):
    """What a process does at a failpoint."""

    CRASH = "crash"
    """The process ends at once, as by SIGKILL."""
    SLEEP = "sleep"
    """The whole process stands still for some seconds."""
    RAISE = "raise"
    """The failpoint raises the fault that its caller has to handle."""
    LOSE_REPLY = "lose_reply"
    """The statement commits, and its caller sees a broken connection."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens at one failpoint, and with what probability each time."""

    name: str
    action: Action
    seconds: float = 0.0
    probability: float = 1.0

    def __str__(self) -> str:
        seconds = f":{self.seconds:g}" if self.seconds else ""
        return f"{self.name}={self.action}{seconds}@{self.probability:g}"


def read_rules(text: str) -> tuple[Rule, ...]:
    """Parse rules; raises ValueError that names the invalid rule and the valid values."""
    return tuple(_read_rule(part.strip()) for part in text.split(";") if part.strip())


def actions_at(name: str) -> tuple[Action, ...]:
    """Return the actions that a failpoint supports."""
    if name in STATEMENTS:
        return Action.CRASH, Action.SLEEP, Action.LOSE_REPLY
    return (Action.CRASH, Action.SLEEP, Action.RAISE) if name in PLACES else (Action.CRASH, Action.SLEEP)


def _read_rule(part: str) -> Rule:
    name, is_given, rest = part.partition("=")
    if not is_given:
        raise ValueError(f"{part!r} is not of the form name=action[:seconds][@probability]")
    if name not in NAMES:
        raise ValueError(f"there is no failpoint {name!r}; there are {', '.join(sorted(NAMES))}")
    rest, _, probability = rest.partition("@")
    action, _, seconds = rest.partition(":")
    if action not in actions_at(name):
        raise ValueError(f"{name} takes {', '.join(actions_at(name))}, not {action!r}")
    if bool(seconds) != (action == Action.SLEEP):
        raise ValueError(f"{part!r}: sleep, and nothing else, has seconds, as in sleep:3")
    return Rule(
        name,
        Action(action),
        _number(part, "seconds", seconds, 3600.0) if seconds else 0.0,
        _number(part, "probability", probability, 1.0) if "@" in part else 1.0,
    )


def _number(part: str, what: str, text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= most:  # also false for nan
        raise ValueError(f"{part!r}: {what} has to be a number above 0, up to {most:g}")
    return number
