"""Schedules of faults: drawn from a seed, saved, and repeatable."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HTTP_TOOLS = "http-tools"
"""The name of the tool server over HTTP."""

SERVICES = ("session-1", "session-2", "command-1", "command-2", "runner-1", "runner-2", "gateway")
REPLICAS = SERVICES[:6]
RUNNERS = ("runner-1", "runner-2")


@dataclass(frozen=True)
class Step:
    """One action on a target: it begins `at` seconds after the load and takes `seconds`."""

    at: float
    fault: str
    action: str
    target: str = ""
    seconds: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """All steps of a run."""

    seed: int
    faults: tuple[str, ...]
    seconds: float
    steps: tuple[Step, ...]

    def save(self, path: Path) -> None:
        """Write the schedule as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Schedule":
        """Read a saved schedule."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        steps = tuple(Step(**step) for step in raw["steps"])
        return cls(raw["seed"], tuple(raw["faults"]), raw["seconds"], steps)


def plan(seed: int, faults: Sequence[str], seconds: float) -> Schedule:
    """Give each fault a window of equal length, in turn. Repeat while every fault gets at least a minute."""
    draw = random.Random(seed)
    rounds = max(1, int(seconds // (60 * len(faults))))
    window = seconds / (rounds * len(faults))
    steps: list[Step] = []
    for number, fault in enumerate(list(faults) * rounds):
        begins = number * window
        steps += _window(draw, fault, begins, begins + window)
    return Schedule(seed, tuple(faults), seconds, tuple(sorted(steps, key=lambda step: step.at)))


def _window(draw: random.Random, fault: str, begins: float, ends: float) -> list[Step]:
    recipe = RECIPES[fault]
    steps: list[Step] = []
    at = begins + draw.uniform(0.5, 1.5)
    while True:
        gap, made = recipe(draw, ends - at)
        if at + 1 >= ends or (steps and at + made[-1].seconds + 1 > ends):
            return steps
        for step in made:
            chosen = Step(
                round(at + step.at, 3),
                fault,
                step.action,
                step.target,
                round(min(step.seconds, ends - at), 3),
                step.options,
            )
            steps.append(chosen)
        at += gap


Recipe = Callable[[random.Random, float], tuple[float, list[Step]]]
"""Draws the next steps of a fault for the seconds left, with `at` relative to now, and the delay to the next ones."""


def _one(
    action: str, targets: Sequence[str], gap: tuple[float, float], down: tuple[float, float], **options: Any
) -> Recipe:
    def draw_one(draw: random.Random, left: float) -> tuple[float, list[Step]]:
        seconds = draw.uniform(*down)
        return draw.uniform(*gap) + seconds, [Step(0, "", action, draw.choice(targets), seconds, dict(options))]

    return draw_one


def _any(*recipes: Recipe) -> Recipe:
    return lambda draw, left: draw.choice(recipes)(draw, left)


def _whole(action: str, target: str = "") -> Recipe:
    return lambda draw, left: (
        left + 1,
        [Step(0, "", action, target, max(1.0, left - 3), {"seed": draw.randrange(1 << 30)})],
    )


def _rollback(draw: random.Random, left: float) -> tuple[float, list[Step]]:
    age = draw.uniform(1, max(1.5, min(30, left / 3)))
    return age + 8, [
        Step(0, "", "nats_copy"),
        Step(age, "", "nats_roll_back", "nats", 0.3, {"age": round(age, 2)}),
    ]  # fmt: skip


_TO_ENGINES = [f"{name}>{engine}" for name in REPLICAS for engine in ("postgres", "nats")]
RUNNERS_TO_NATS = [f"{name}>nats" for name in RUNNERS]
_LINKS = _TO_ENGINES + [f"client>{name}" for name in REPLICAS[:4]]


def _drop(draw: random.Random, left: float) -> tuple[float, list[Step]]:
    target = draw.choice([name for name in _TO_ENGINES if name.endswith("postgres")])
    known = {
        "session": ("session\\.start", "session\\.stop", "session\\.advance_stop"),
        "runner": ("command\\.claim", "command\\.finish", "command\\.report"),
    }
    statement = draw.choice(known.get(target.partition("-")[0], ("command\\.submit", "command\\.", "dispatch")))
    action = draw.choice(("drop_reply", "drop_request"))
    return draw.uniform(0.2, 0.8), [Step(0, "", action, target, 0.0, {"statement": statement})]


RECIPES: dict[str, Recipe] = {
    "F1": _one("kill", SERVICES, (1, 4), (0, 1)),
    "F2": _one("pause", RUNNERS, (2, 4), (3, 6)),
    "F3": _one("pause", ("nats", "postgres", "gateway"), (4, 8), (5, 15)),
    "F4": _one("kill", ("nats",), (4, 8), (0, 2)),
    "F5": _any(
        _one("nats_wipe", ("nats",), (5, 8), (0, 1)),
        _one("nats_wipe_live", ("nats",), (5, 8), (0.5, 1)),
        *(_one("nats_wipe_full", ("nats",), (5, 8), (1, 3)),) * 2,
    ),
    "F6": _any(_rollback, _one("power_cut", ("nats",), (4, 8), (0, 1))),
    "F7": _one("postgres_immediate", ("postgres",), (4, 8), (0, 3)),
    "F8": _one("power_cut", ("postgres",), (5, 9), (0, 1)),
    "F9": _any(
        _one("cut", _LINKS, (0.5, 2), (0, 0)),
        _one("blackhole", _LINKS, (1, 3), (2, 8)),
        _one("one_way", _LINKS, (1, 3), (2, 8), lost="up"),
        _one("one_way", _LINKS, (1, 3), (2, 8), lost="down"),
        _one("latency", _LINKS, (1, 3), (2, 8), milliseconds=200),
    ),
    "F11": _any(_one("fill", ("nats",), (4, 6), (4, 8)), _one("fill", ("postgres",), (4, 6), (3, 6))),
    "F14": _any(*(_one("clock", REPLICAS, (2, 4), (4, 8), shift=shift) for shift in (3600, -3600, 600, -600))),
    "F15": _drop,
    "F16": _whole("repeat_deliveries"),
    "F17": _one("poison", ("nats",), (0.5, 2), (0, 0)),
    "F18": _any(
        _one("starve", RUNNERS, (2, 4), (8, 12)),
        _one("out_of_memory", RUNNERS, (4, 8), (0, 1)),
    ),
    "F21": _one("kill_all", ("services",), (3, 3), (0, 0)),
    "F22": _any(
        *(_one("kill_tools", ("tools",), (2, 4), (0, 0)),) * 2,
        _one("kill", (HTTP_TOOLS,), (2, 4), (0, 2)),
        *(
            _one("answer_badly", (HTTP_TOOLS,), (2, 4), (1, 3), how=how)
            for how in ("429", "500", "redirect", "hang", "break")
        ),
    ),
    "F24": _whole("stampede"),
    "FP": _whole("failpoints"),
}
NEED_LINKS = {"F5", "F9", "F15"}
NEED_IMAGES = {"F6", "F8"}
