"""The failpoints that a run deals to its processes."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from libs.failpoints import NAMES, Action, Rule, actions_at, read_rules
from tests.chaos.failpoint_faults import KINDS, Deck

Pair = tuple[str, str]


def pairs(rules: tuple[Rule, ...]) -> list[Pair]:
    return [(rule.name, rule.action) for rule in rules]


def note(log: Path, happened: list[Pair]) -> None:
    with log.open("a") as file:
        file.writelines(json.dumps({"name": name, "action": action}) + "\n" for name, action in happened)


def all_pairs(kind: str) -> set[Pair]:
    names = [name for name in NAMES if name.partition(".")[0] in KINDS[kind]]
    return {(name, str(action)) for name in names for action in actions_at(name)}


def test_each_failpoint_belongs_to_one_kind_of_process() -> None:
    held = Counter(name for kind in KINDS for name in {name for name, _ in all_pairs(kind)})
    assert held == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_at_every_failpoint_is_dealt(kind: str, tmp_path: Path) -> None:
    deck, expected = Deck(kind, random.Random(1), tmp_path / "log"), all_pairs(kind)
    seen: Counter[Pair] = Counter()
    while len(seen) < len(expected):
        dealt = pairs(read_rules(deck.deal()))
        assert len({name for name, _ in dealt}) == len(dealt) == 6
        assert [action for _, action in dealt].count(Action.CRASH) <= 1
        seen.update(dealt)
        assert sum(seen.values()) <= 3 * len(expected)
    assert set(seen) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_rules_without_effect_so_far_are_dealt_more_often(kind: str, tmp_path: Path) -> None:
    log, expected = tmp_path / "log", sorted(all_pairs(kind))
    note(log, expected[::2])
    deck, seen = Deck(kind, random.Random(1), log), Counter[Pair]()
    for _ in range(len(expected)):
        seen.update(pairs(read_rules(deck.deal())))
    assert set(seen) == set(expected)
    for alike in ([pair for pair in expected if (pair[1] == Action.CRASH) is crash] for crash in (True, False)):
        happened = {pair: seen[pair] for pair in alike if pair in expected[::2]}
        assert max(happened.values()) < min(seen[pair] for pair in alike if pair not in happened)
