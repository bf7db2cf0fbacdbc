"""FP: processes that crash, stand still or fail at named places in the code, and are started again with others."""

import asyncio
import random
import time
from pathlib import Path

from libs.failpoints import NAMES, Action, Rule, actions_at
from tests.chaos.journal import read_rows
from tests.chaos.rig import Rig
from tests.chaos.schedule import REPLICAS
from tests.support.part import Part

LOG = "failpoints"
KINDS = {
    "session": ("lifecycle", "sessions", "events", "hub", "tail", "follow"),
    "command": ("commands", "dead_letters", "cancels", "dispatcher", "dispatch", "reconciler"),
    "runner": ("attempts", "runner", "connections", "leases"),
}
"""Where the names of a kind of process begin."""
_BUSY = {
    "commands.submit", "commands.after_submit_before_enqueue", "commands.after_submit_before_answer", "dispatch.mark",
    "dispatcher.after_enqueued_published", "dispatcher.before_enqueued_marked", "attempts.claim", "attempts.finish",
    "attempts.after_claim_before_settle", "attempts.after_settle_before_execution",
    "attempts.after_execution_before_finish", "attempts.after_finish",
}  # fmt: skip
"""What is reached many times a second under the load."""
_BUSY_CHANCE, _CHANCE = 0.03, 0.4
_DEALT = 6
_LIFE_SECONDS = 10.0
_PAUSE_SECONDS = 3.0  # a lease is 2
_LAST_SECONDS = 0.5  # for one that crashed at the last moment to be seen dead
_AHEAD = 3


class Deck:
    """What can happen at the failpoints of a kind of process, dealt a few at a time.

    A life ends at its first crash, and what else was dealt to it does not happen. So a life gets one crash at most, and
    what has not happened yet, by the processes' own log, comes before what has, and is dealt more often.
    """

    def __init__(self, kind: str, draw: random.Random, log: Path) -> None:
        names = [name for name in NAMES if name.partition(".")[0] in KINDS[kind]]
        self._dealt = {(name, action): 0 for name in names for action in actions_at(name)}
        self._draw = draw
        self._log = log

    def deal(self) -> str:
        """The next rules, at different failpoints, as the environment takes them."""
        happened = {(row["name"], row["action"]) for row in read_rows(self._log)}
        shuffled = self._draw.sample(sorted(self._dealt), len(self._dealt))
        shuffled.sort(key=lambda pair: self._dealt[pair] + _AHEAD * (pair in happened))
        chosen: dict[str, Action] = {}
        for name, action in shuffled:
            if len(chosen) == _DEALT:
                break
            if name not in chosen and (action is not Action.CRASH or action not in chosen.values()):
                chosen[name] = action
                self._dealt[name, action] += 1
        return ";".join(str(_rule(name, action)) for name, action in chosen.items())


def _rule(name: str, action: Action) -> Rule:
    seconds = _PAUSE_SECONDS if action is Action.SLEEP else 0.0
    return Rule(name, action, seconds, _BUSY_CHANCE if name in _BUSY else _CHANCE)


async def live_with_failpoints(rig: Rig, seconds: float, seed: int) -> None:
    """Has every replica live with failpoints, and die of them, for so many seconds; then all run without."""
    until = time.monotonic() + seconds
    log = rig.out / f"{LOG}.jsonl"
    decks = {kind: Deck(kind, random.Random(f"{seed}/{kind}"), log) for kind in KINDS}
    await asyncio.gather(
        *(
            _live(rig.parts[name], decks[name.partition("-")[0]], random.Random(f"{seed}/{name}"), log, until)
            for name in REPLICAS
        )
    )


async def _live(part: Part, deck: Deck, draw: random.Random, log: Path, until: float) -> None:
    """Life after life, each with other failpoints; the last one outlives them all."""
    lives = 0
    while time.monotonic() < until:
        if part.is_running:
            await part.kill()
        lives += 1
        await part.launch(
            CALLBOARD_FAILPOINTS=deck.deal(),
            CALLBOARD_FAILPOINTS_SEED=str(lives),
            CALLBOARD_FAILPOINTS_UNTIL=str(until),
            CALLBOARD_FAILPOINTS_LOG=str(log),
        )
        if await part.until_ready():
            await part.ends_within(min(draw.uniform(0.5, 1.5) * _LIFE_SECONDS, until - time.monotonic()))
    if await part.ends_within(_LAST_SECONDS):
        await part.start()
