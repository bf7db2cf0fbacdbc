"""What must hold of calls: I9 and I13; and of the end of it all: I11."""

from collections import Counter, defaultdict

from tests.chaos.history import History
from tests.chaos.journal import Row

_SAME = ("command_id", "session_id", "enqueued_at", "previous")


def keys_mean_one_thing(history: History) -> list[str]:
    """I9: all answers to a key are the same; another body with it is refused; a key makes one command."""
    broken = []
    answers: dict[str, list[Row]] = defaultdict(list)
    for operation in history.operations:
        if operation.get("other_body"):
            if operation["phase"] == "ok":
                broken.append(f"{operation['key']} with another body was accepted")
        elif operation["phase"] == "ok" and operation.get("key"):
            answers[operation["key"]].append(operation["answer"])
    for key, given in answers.items():
        if len({tuple(answer.get(name) for name in _SAME) for answer in given}) > 1:
            broken.append(f"{key} was answered {[[answer.get(name) for name in _SAME] for answer in given]}")
    made = Counter(command["correlation_id"] for command in history.commands.values() if not command["requeued_from"])
    return broken + [f"{key} made {count} commands" for key, count in made.items() if count > 1]


def unknown_calls_are_whole(history: History) -> list[str]:
    """I13: a submit of unknown outcome left everything or nothing: the row, its event, its key, in one."""
    enqueued = Counter(event["command_id"] for event in history.events if event["type"] == "command.enqueued")
    started = Counter(event["session_id"] for event in history.events if event["type"] == "session.started")
    keys = {row["key"]: row["command_id"] for row in history.rows("command_keys") if row["method"] == "submit"}
    made = {id_: command["correlation_id"] for id_, command in history.commands.items()}
    asked = {operation["key"] for operation in history.asked("submit")}
    ours = {key: id_ for key, id_ in keys.items() if key.startswith("key-")}
    return [
        *(f"{id_} was told enqueued {enqueued[id_]} times" for id_ in {*enqueued, *made} if enqueued[id_] != 1),
        *(f"{id_} was told enqueued and is not there" for id_ in enqueued.keys() - made.keys()),
        *(f"{key} stands for {id_}, which is not there" for key, id_ in ours.items() if id_ not in made),
        *(f"{id_} was made with {key}, which stands for another" for id_, key in made.items()
          if key.startswith("key-") and keys.get(key) != id_),
        *(f"{key} was never asked" for key in ours.keys() - asked),
        *(f"{row['session_id']} was told started {started[row['session_id']]} times"
          for row in history.rows("sessions") if started[row["session_id"]] != 1),
    ]  # fmt: skip


def nothing_is_left_over(history: History) -> list[str]:
    """I11: nothing waits to be dispatched or delivered, no letter to be published, no tool server runs on."""
    broken = [f"{row['command_id']} is still in ready" for row in history.rows("ready")]
    broken += [
        f"the letter of {row['command_id']} is not published"
        for row in history.rows("dead_letters")
        if not row["published"]
    ]
    live = {row["session_uid"] for row in history.rows("sessions") if row["ended_at"] is None}
    broken += [
        f"{row['session_id']} has ended, and a connection is {row['state']}"
        for row in history.rows("connections")
        if row["session_uid"] not in live
    ]
    if history.end.get("tools"):
        broken.append(f"tool servers run on: {history.end['tools']}")
    for name, counts in history.end.get("consumers", {}).items():
        if any(counts):
            broken.append(f"{name} has {counts[0]} pending and {counts[1]} unacknowledged")
    return broken
