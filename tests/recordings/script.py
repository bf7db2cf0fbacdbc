"""Reads scripts: the steps of an area, as data.

An entry of a script can stand for many steps: each of its `cases` is the step with a change, and its `faults` are those
that all requests of its kind have in common. They are played first, because the step may change its own subject.
"""

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
NOBODY, STRANGER = "nobody", "stranger"


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what to do with its answer.

    `target` is a method and path, or an RPC's full name. `role` says whose key is sent. `save` saves parts of the
    answer by name; `until` repeats the request until parts of the answer have these values; `races` are parts that
    depend on a race. A stream is read for `take` events, or to its end; with `hold` it stays open until the
    area ends.
    """

    name: str
    target: str
    body: str | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    role: str = "admin"
    save: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, Any] = field(default_factory=dict)
    races: Sequence[str] = ()
    take: int = 0
    hold: bool = False
    record: bool = True
    gateway: str = ""

    @property
    def is_rpc(self) -> bool:
        """Whether the step calls a service and not the gateway."""
        return " " not in self.target


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of one area. `times` are names of moments, in seconds from now."""

    area: str
    steps: tuple[Step, ...]
    times: Mapping[str, int]
    text: str


def areas() -> list[str]:
    """The names of all areas, such as `rest/agents`."""
    return sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("r*/*.toml"))


def chosen(names: Collection[str]) -> list[str]:
    """The areas with these names, which may leave out `rest/` or `rpc/`; all areas if there are no names."""
    return [area for area in areas() if not names or area in names or area.partition("/")[2] in names]


def read_script(area: str) -> Script:
    """Reads the script of an area; ValueError for two steps with one name."""
    text = (FOLDER / f"{area}.toml").read_text()
    given = tomllib.loads(text)
    steps = [step for entry in given["steps"] for step in _expand(entry, given.get("service", ""))]
    names = [step.name for step in steps]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{area} has two steps of the name {sorted(twice)}")
    return Script(area, tuple(steps), given.get("times", {}), text)


def _expand(entry: dict[str, Any], service: str) -> Iterator[Step]:
    from tests.recordings.faults import faults_of

    cases, faults = entry.pop("cases", {}), entry.pop("faults", None)
    step = _step(entry, service)
    if faults is not None:
        yield from faults_of(step, **faults)
    for name, change in cases.items():
        yield _case(step, f"{step.name} / {name}", change)
    yield step


def _step(entry: dict[str, Any], service: str) -> Step:
    given = dict(entry)
    call = given.pop("call", "")
    given["target"] = (call if "." in call else f"{service}.{call}") if call else given.pop("request")
    if "message" in given:
        given["body"] = given.pop("message")
    return Step(**given)


def _case(step: Step, name: str, change: str | dict[str, Any]) -> Step:
    """Changes a step: a string is another body, or the query of a GET."""
    plain = plain_step(step, name)
    if isinstance(change, dict):
        changed = dict(change)
        headers = {**step.headers, **changed.pop("headers", {})}
        if "request" in changed:
            changed["target"] = changed.pop("request")
        return replace(plain, headers=headers, **changed)
    if step.target.startswith("GET "):
        joint = "&" if "?" in step.target else "?"
        return replace(plain, target=f"{step.target}{joint}{change}")
    return replace(plain, body=change)


def plain_step(step: Step, name: str) -> Step:
    """The same request with another name, without `save`, `until`, `races` and `hold`."""
    return replace(step, name=name, save={}, until={}, races=(), hold=False)
