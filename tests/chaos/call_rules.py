"""The rules for calls: I9 and I13."""

from collections import Counter, defaultdict

from tests.chaos.further_load import APPENDED
from tests.chaos.history import History, payload
from tests.chaos.journal import Row

_SAME = ("command_id", "session_id", "enqueued_at", "previous", "first_seq")


def keys_mean_one_thing(history: History) -> list[str]:
    """I9: all answers to a key are equal; another body with the same key is rejected; a key creates one command."""
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
    created = Counter(
        command["correlation_id"] for command in history.commands.values() if not command["requeued_from"]
    )
    broken += [f"{key} created {count} commands" for key, count in created.items() if count > 1]
    requeued = Counter(command["requeued_from"] for command in history.commands.values() if command["requeued_from"])
    broken += [f"{id_} was requeued {count} times" for id_, count in requeued.items() if count > 1]
    appended = Counter(payload(event)["key"] for event in history.events if event["type"] == APPENDED)
    return broken + [f"{key} appended {count} times" for key, count in appended.items() if count > 1]


def unknown_calls_are_whole(history: History) -> list[str]:
    """I13: a submit of unknown outcome stored its row, event and key together, or nothing.

    A command that was rejected, rolled back or answered from an earlier call was never dispatched.
    """
    enqueued = Counter(event["command_id"] for event in history.events if event["type"] == "command.enqueued")
    started = Counter(event["session_id"] for event in history.events if event["type"] == "session.started")
    keys = {row["key"]: row["response"] for row in history.rows("keys") if row["method"] == "submit"}
    created = {id_: command["correlation_id"] for id_, command in history.commands.items()}
    first = {id_: key for id_, key in created.items() if not history.commands[id_]["requeued_from"]}
    invoked = {operation["key"] for operation in history.invoked("submit")}
    foreseen = {operation["submit_key"] for operation in history.invoked("cancel") if operation.get("submit_key")}
    appended = {payload(event)["key"] for event in history.events if event["type"] == APPENDED}
    dispatched = {row["command_id"] for row in history.rows("dispatches")}
    ours = {key: id_ for key, id_ in keys.items() if key.startswith("key-")}
    return [
        *(f"{id_} has {enqueued[id_]} events command.enqueued" for id_ in {*enqueued, *created} if enqueued[id_] != 1),
        *(f"{id_} has an event command.enqueued and does not exist" for id_ in enqueued.keys() - created.keys()),
        *(f"{id_} was dispatched and does not exist" for id_ in dispatched - created.keys()),
        *(f"{key} refers to {id_}, which does not exist" for key, id_ in ours.items()
          if id_ not in created and (id_ or key not in foreseen)),
        *(f"{id_} was created with {key}, which refers to another" for id_, key in first.items()
          if key.startswith("key-") and keys.get(key) != id_),
        *(f"{key} was never sent" for key in ours.keys() - invoked),
        *(f"{row['key']} was accepted and not appended" for row in history.invoked("append", phase="ok")
          if row["key"] not in appended),
        *(f"{row['key']} was accepted, and its command does not exist" for row in history.invoked("requeue", phase="ok")
          if row["answer"]["command_id"] not in created),
        *(f"{row['session_id']} has {started[row['session_id']]} events session.started"
          for row in history.rows("sessions") if started[row["session_id"]] != 1),
    ]  # fmt: skip
