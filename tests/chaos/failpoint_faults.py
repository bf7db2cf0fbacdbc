"""FP: processes crash, pause or fail at named places in the code, and restart with other failpoints."""

import asyncio
import random
import time
from pathlib import Path

from libs.failpoints import NAMES, Action, Rule, actions_at
from tests.chaos.journal import read_rows
from tests.chaos.rig import Rig
from tests.chaos.schedule import REPLICAS
from tests.support.suite_process import SuiteProcess

LOG = "failpoints"
KINDS = {
    "session": ("lifecycle", "sessions", "events", "hub", "tail", "follow"),
    "command": ("commands", "dead_letters", "cancels", "dispatcher", "dispatch", "reconciler"),
    "runner": ("attempts", "runner", "connections", "leases"),
}
"""The prefixes of the failpoints of each kind of process."""
_BUSY = {
    "commands.submit", "commands.after_submit_before_enqueue", "commands.after_submit_before_answer", "dispatch.mark",
    "dispatcher.after_enqueued_published", "dispatcher.before_enqueued_marked", "attempts.claim", "attempts.finish",
    "attempts.after_claim_before_settle", "attempts.after_settle_before_execution",
    "attempts.after_execution_before_finish", "attempts.after_finish",
}  # fmt: skip
"""Failpoints that the load reaches many times a second."""
_BUSY_CHANCE, _CHANCE = 0.03, 0.4
_DEALT = 6
_LIFE_SECONDS = 10.0
_PAUSE_SECONDS = 3.0  # longer than the lease of 2 s
_LAST_SECONDS = 0.5  # time to detect a crash at the last moment
_AHEAD = 3


class Deck:
    """Deals rules for the failpoints of one kind of process, a few at a time.

    A process that crashes does not reach its other rules. So each start gets at most one crash. Rules that have not
    taken effect yet, according to the log of the processes, come first and are dealt more often.
    """

    def __init__(self, kind: str, draw: random.Random, log: Path) -> None:
        names = [name for name in NAMES if name.partition(".")[0] in KINDS[kind]]
        self._dealt = {(name, action): 0 for name in names for action in actions_at(name)}
        self._draw = draw
        self._log = log

    def deal(self) -> str:
        """Return the next rules, for different failpoints, in the format of the environment variable."""
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
    """Run every replica with failpoints for some seconds, restarting it with others. Afterwards all run without."""
    until = time.monotonic() + seconds
    log = rig.out / f"{LOG}.jsonl"
    decks = {kind: Deck(kind, random.Random(f"{seed}/{kind}"), log) for kind in KINDS}
    await asyncio.gather(
        *(
            _live(rig.parts[name], decks[name.partition("-")[0]], random.Random(f"{seed}/{name}"), log, until)
            for name in REPLICAS
        )
    )


async def _live(part: SuiteProcess, deck: Deck, draw: random.Random, log: Path, until: float) -> None:
    """Restart a replica with other failpoints again and again, and finally without any."""
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
