"""The rules for commands: I1, I2, I3, I6, order and redirect."""

from collections import Counter, defaultdict

from callboard.commands.v1.commands_pb2 import (
    COMMAND_STATE_CANCELLED,
    COMMAND_STATE_FAILED,
    COMMAND_STATE_SUCCEEDED,
)
from tests.chaos.history import ENDED, TERMINAL, History
from tests.chaos.journal import Row
from tests.chaos.stale import stale_writes

_OVER = {COMMAND_STATE_CANCELLED, COMMAND_STATE_FAILED, COMMAND_STATE_SUCCEEDED}


def accepted_commands_end(history: History) -> list[str]:
    """I1: every command whose submit was answered OK exists, and ended in time."""
    broken = [] if history.end.get("settled") else ["not all open commands ended in time"]
    accepted = {row["answer"]["command_id"] for row in history.invoked("submit", phase="ok")}
    broken += [f"{id_} was accepted and does not exist" for id_ in accepted - history.commands.keys()]
    return broken + [
        f"{id_} is {command['state']} at attempt {command['attempt']}"
        for id_, command in history.commands.items()
        if command["state"] not in TERMINAL
    ]


def outcomes_are_single(history: History) -> list[str]:
    """I2: each command ends once, with one event and nothing after it; it has at most one result; a cancel wins."""
    broken = []
    for command_id, command in history.commands.items():
        types = [event["type"] for event in history.by_command.get(command_id, [])]
        ends = [ENDED[type_] for type_ in types if type_ in ENDED]
        if ends != ([command["state"]] if command["state"] in TERMINAL else []):
            broken.append(f"{command_id} is {command['state']}, and its events say {ends}")
        rest = types[next((n for n, type_ in enumerate(types) if type_ in ENDED), len(types)) + 1 :]
        if set(rest) - {"command.dead_lettered"}:
            broken.append(f"{command_id}: {rest} after its end")
        if command["cancel_requested_at"] and command["state"] != "cancelled":
            broken.append(f"{command_id} has a requested cancel, and is {command['state']}")
        won = [row["attempt"] for row in history.attempts.get(command_id, []) if row["outcome"] == "succeeded"]
        if len(won) != (command["state"] == "succeeded"):
            broken.append(f"{command_id} is {command['state']}, and attempts {won} succeeded")
    return broken + _cancels(history) + stale_writes(history) + _results(history)


def _cancels(history: History) -> list[str]:
    """Check that a command that was open when its cancel was answered is cancelled, and that a command that was
    cancelled before its submit never started."""
    made = {row["correlation_id"]: row for row in history.commands.values() if not row["requeued_from"]}
    broken = []
    for cancel in history.invoked("cancel", phase="ok"):
        if key := cancel.get("submit_key"):
            command = made.get(key)
            if command and (command["state"], command["attempt"]) != ("cancelled", 0):
                broken.append(f"{key} was cancelled before its submit, and is {command['state']}")
        elif cancel["answer"]["state"] not in _OVER:
            command = history.commands.get(cancel["command_id"])
            if command and command["state"] != "cancelled":
                broken.append(f"{cancel['command_id']} was open when it was cancelled, and is {command['state']}")
    return broken


def _results(history: History) -> list[str]:
    """Check that the result of a command is what an execution of its last attempt returned."""
    ended = {line["mark"]: line for line in history.effects if line["phase"] == "end"}
    broken = []
    for command in history.commands.values():
        mark = _mark(command)
        if mark is None:
            continue
        effect = ended.get(mark)
        if effect is None or (effect["commandId"], int(effect["attempt"])) != (
            command["command_id"],
            command["attempt"],
        ):
            broken.append(f"{command['command_id']} at attempt {command['attempt']} has the result of {effect}")
    return broken


def _mark(command: Row) -> str | None:
    result = command.get("result") or ""
    found = result.rpartition('"mark":')[2].strip(' "')[:32] if '"mark":' in result else ""
    return found if len(found) == 32 and found.isalnum() else None


def attempts_are_numbered(history: History) -> list[str]:
    """I3: attempts are numbered 1 to n; each starts at most once and ends once; the limit bounds the charged ones."""
    broken = []
    for command_id, command in history.commands.items():
        numbers = [row["attempt"] for row in history.attempts.get(command_id, [])]
        starts = [event for event in history.by_command.get(command_id, []) if event["type"] == "command.started"]
        if numbers != list(range(1, command["attempt"] + 1)):
            broken.append(f"{command_id} is at attempt {command['attempt']}, and {numbers} have ended")
        if len(starts) > len(numbers):
            broken.append(f"{command_id} started {len(starts)} times and ended {len(numbers)} times")
        charged = sum(row["charged"] for row in history.attempts.get(command_id, []))
        if charged > command["max_attempts"]:
            broken.append(f"{command_id} was charged {charged} of {command['max_attempts']} attempts")
        if charged != command["charged"] and command["state"] != "cancelled":
            broken.append(f"{command_id} counts {command['charged']} charges, its attempts {charged}")
    begun = Counter((line["commandId"], line["attempt"]) for line in history.effects if line["phase"] == "start")
    return broken + [f"attempt {attempt} of {id_} started {n} times" for (id_, attempt), n in begun.items() if n > 1]


def dead_letters_are_the_failed(history: History) -> list[str]:
    """I6: each failed command has one dead letter with one event, and was exhausted or not retryable."""
    dead_letters = {row["command_id"]: row for row in history.rows("dead_letters")}
    failed = {id_ for id_, command in history.commands.items() if command["state"] == "failed"}
    events = Counter(event["command_id"] for event in history.events if event["type"] == "command.dead_lettered")
    broken = [f"{id_} has failed and has no dead letter" for id_ in failed - dead_letters.keys()]
    broken += [
        f"{id_} has a dead letter and is {history.commands[id_]['state']}" for id_ in dead_letters.keys() - failed
    ]
    broken += [
        f"{id_} has {events[id_]} events command.dead_lettered"
        for id_ in failed | events.keys()
        if events[id_] != (id_ in failed)
    ]
    for command_id in failed:
        command = history.commands[command_id]
        retryable = '"retryable":true' in (command["error"] or "").replace(" ", "")
        if retryable and command["charged"] < command["max_attempts"] and command["released"] < 20:
            broken.append(f"{command_id} is dead after {command['charged']} of {command['max_attempts']}")
    return broken


def redirects_are_not_followed(history: History) -> list[str]:
    """Redirect: no client of a tool server over HTTP followed a redirect."""
    return [f"a redirect was followed at {line['time']}" for line in history.effects if line["phase"] == "followed"]


def ordered_commands_take_turns(history: History) -> list[str]:
    """Order: the commands of an ordering key run one after the other, in the order of their submits."""
    open_: dict[tuple[str, str], list[str]] = defaultdict(list)
    broken = []
    for event in history.events:
        command = history.commands.get(event["command_id"] or "")
        if command is None or not command["ordering_key"]:
            continue
        waiting = open_[command["session_uid"], command["ordering_key"]]
        if event["type"] == "command.enqueued":
            waiting.append(command["command_id"])
        elif event["type"] == "command.started" and waiting[:1] != [command["command_id"]]:
            broken.append(f"{command['command_id']} started before {waiting[:1]} had ended")
        elif event["type"] in ENDED and command["command_id"] in waiting:
            waiting.remove(command["command_id"])
    return broken
