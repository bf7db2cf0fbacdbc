"""FP: processes that crash, stand still or fail at named places in the code, and are started again with others."""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from libs.failpoints import NAMES, Action, Rule, actions_at
from tests.chaos.rig import Rig
from tests.chaos.schedule import REPLICAS
from tests.support.part import Part

LOG = "failpoints"
_KINDS = {
    "session": ("lifecycle", "sessions", "events", "hub", "tail", "follow"),
    "command": ("commands", "dead_letters", "cancels", "dispatcher", "dispatch", "reconciler"),
    "runner": ("attempts", "runner", "connections", "work"),
}
"""Where the names of a kind of process begin."""
_BUSY = {
    "commands.submit", "commands.after_submit_before_offer", "commands.after_submit_before_answer", "dispatch.mark",
    "dispatcher.after_offers_published", "dispatcher.before_offers_marked", "work.claim", "work.finish",
    "work.report", "attempts.after_claim_before_settle", "attempts.after_settle_before_execution",
    "attempts.after_execution_before_finish", "attempts.after_finish",
}  # fmt: skip
"""What is reached many times a second under the load."""
_BUSY_CHANCE, _CHANCE = 0.03, 0.4
_DEALT = 6
_LIFE_SECONDS = 10.0
_PAUSE_SECONDS = 3.0  # a lease is 2
_LAST_SECONDS = 0.5  # for one that crashed at the last moment to be seen dead


def names_of(kind: str) -> list[str]:
    """The failpoints that a kind of process reaches."""
    return [name for name in NAMES if name.partition(".")[0] in _KINDS[kind]]


def dealt(deck: Iterator[str], draw: random.Random) -> str:
    """The next few failpoints, each with something that can happen there, as the environment takes it."""
    rules = []
    for name in itertools.islice(deck, _DEALT):
        action = draw.choice(actions_at(name))
        seconds = _PAUSE_SECONDS if action is Action.SLEEP else 0.0
        rules.append(Rule(name, action, seconds, _BUSY_CHANCE if name in _BUSY else _CHANCE))
    return ";".join(str(rule) for rule in rules)


async def live_with_failpoints(rig: Rig, seconds: float, seed: int) -> None:
    """Has every replica live with failpoints, and die of them, for so many seconds; then all run without."""
    until = time.monotonic() + seconds
    decks = {kind: _deck(names_of(kind), random.Random(f"{seed}/{kind}")) for kind in _KINDS}
    await asyncio.gather(
        *(
            _live(rig.parts[name], decks[name.partition("-")[0]], random.Random(f"{seed}/{name}"), rig.out, until)
            for name in REPLICAS
        )
    )


def _deck(names: Sequence[str], draw: random.Random) -> Iterator[str]:
    return itertools.cycle(draw.sample(names, len(names)))


async def _live(part: Part, deck: Iterator[str], draw: random.Random, out: Path, until: float) -> None:
    """Life after life, each with other failpoints; the last one outlives them all."""
    lives = 0
    while time.monotonic() < until:
        if part.is_running:
            await part.kill()
        lives += 1
        await part.launch(
            CALLBOARD_FAILPOINTS=dealt(deck, draw),
            CALLBOARD_FAILPOINTS_SEED=str(lives),
            CALLBOARD_FAILPOINTS_UNTIL=str(until),
            CALLBOARD_FAILPOINTS_LOG=str(out / f"{LOG}.jsonl"),
        )
        if await part.until_ready():
            await part.ends_within(min(draw.uniform(0.5, 1.5) * _LIFE_SECONDS, until - time.monotonic()))
    if await part.ends_within(_LAST_SECONDS):
        await part.start()
