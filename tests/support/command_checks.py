"""Checks that stored commands agree with the model, and that they keep the rules that always hold."""

import re
from collections import Counter, defaultdict
from uuid import UUID

from tests.support.command_model import ENDED, CommandModel, ModelCommand
from tests.support.command_stores import Row, Stored

_END = re.compile("(completed|cancelled|failed dead_lettered) ")
_DURING = "((progress|cancel_requested|cancel_acknowledged) )*"
# A lost dispatch is an attempt that no runner started.
_LIFE = re.compile(f"enqueued (requeued )?(retrying |started {_DURING}retrying )*(started {_DURING})?({_END.pattern})?")


def assert_as_modelled(model: CommandModel, stored: Stored) -> None:
    """Each row, attempt, dead letter and event is as in the model, and there are no others."""
    types: defaultdict[UUID, list[str]] = defaultdict(list)
    for event in stored.events:
        if event["command_id"]:
            types[event["command_id"]].append(event["type"])
    assert dict(types) == {one.id: one.events for one in model.commands}, f"events, of {model.commands}"
    kept = model.kept()
    assert stored.commands.keys() == {one.id for one in kept}
    assert stored.ready.keys() == {one.id for one in kept if one.waits}, "what waits is in the outbox, and nothing else"
    assert stored.dead_letters.keys() == {one.id for one in kept if one.dead_reason}, "dead letters"
    for one in kept:
        wrong = _modelled(one).items() ^ _columns(stored.commands[one.id]).items()
        assert not wrong, f"{one}, in model and store: {sorted(map(str, wrong))}"
        attempts = [(row["attempt"], row["outcome"], row["charged"]) for row in stored.attempts.get(one.id, ())]
        assert attempts == one.attempts, one
        if one.waits:
            assert stored.ready[one.id]["blocked"] == model.is_blocked(one), one
        if one.dead_reason:
            dead_letter = stored.dead_letters[one.id]
            heir = one.requeued_as.id if one.requeued_as else None
            assert (dead_letter["reason"], dead_letter["requeued_as"]) == (one.dead_reason, heir), one
    for session in model.sessions:
        connection = stored.connections[session.uid]
        owner = session.owner.id if session.owner else None
        assert (connection["runner_id"], connection["kill"]) == (owner, session.kill), session


def _columns(row: Row) -> dict[str, object]:
    there = ("next_attempt_at", "finished_at", "expires_at", "cancel_requested_at", "result")
    same = ("state", "attempt", "charged", "lease_token", "runner_id", "requeued_from")
    return {name: row[name] for name in same} | {name: row[name] is not None for name in there}


def _modelled(one: ModelCommand) -> dict[str, object]:
    return {
        "state": one.state,
        "attempt": one.attempt,
        "charged": one.charged,
        "lease_token": one.token,
        "runner_id": one.runner.id if one.runner else None,
        "requeued_from": one.requeued_from.id if one.requeued_from else None,
        "next_attempt_at": one.state in {"scheduled", "retrying"},
        "finished_at": one.has_ended,
        "expires_at": one.has_ended,
        "cancel_requested_at": one.cancel_requested,
        "result": one.state == "succeeded",
    }


def assert_sound(stored: Stored, before: Stored) -> None:
    """The rules for all commands: final states are final, attempts are limited, ordering keys are in order."""
    for command_id, row in stored.commands.items():
        was = before.commands.get(command_id)
        if was is not None and was["state"] in ENDED:
            assert row == was | {"expires_at": row["expires_at"]}, "an end is final"
        assert row["charged"] <= row["max_attempts"], "no more attempts are charged than allowed"
        held = row["state"] == "running"
        assert (row["lease_token"] is not None, row["runner_id"] is not None) == (held, held), "a lease, while it runs"
    turns = Counter(
        (row["session_uid"], row["ordering_key"])
        for row in stored.commands.values()
        if row["state"] == "running" and row["ordering_key"]
    )
    assert all(running == 1 for running in turns.values()), "of an ordering key one runs at a time"
    _assert_events_sound(stored)


def _assert_events_sound(stored: Stored) -> None:
    seqs: defaultdict[UUID, list[int]] = defaultdict(list)
    lives: defaultdict[UUID, str] = defaultdict(str)
    began: dict[UUID, int] = {}
    for index, event in enumerate(stored.events):
        seqs[event["session_uid"]].append(event["seq"])
        if event["command_id"]:
            word = event["type"].removeprefix("command.")
            lives[event["command_id"]] += f"{word} "
            if word == "started":
                began.setdefault(event["command_id"], index)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seqs.values()), "seqs have no gap"
    for command_id, life in lives.items():
        assert _LIFE.fullmatch(life), life
        row = stored.commands.get(command_id)
        assert bool(_END.search(life)) == (row is None or row["state"] in ENDED), life
    queues: defaultdict[tuple[UUID, str], list[int]] = defaultdict(list)
    for command_id, row in stored.commands.items():  # in submit order
        if row["ordering_key"] and command_id in began:
            queues[row["session_uid"], row["ordering_key"]].append(began[command_id])
    assert all(queue == sorted(queue) for queue in queues.values()), "of an ordering key the first starts first"
