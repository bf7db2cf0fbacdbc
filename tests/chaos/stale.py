"""Stale writes: writes of a runner about a command that it no longer held."""

from tests.chaos.history import ENDED, History, payload
from tests.chaos.journal import Row

_GIVES_UP = {*ENDED, "command.retrying"}
_WITH_THE_END = "command.dead_lettered"  # written together with `command.failed`


def stale_writes(history: History) -> list[str]:
    """Return a line for each stale write: an event by a runner that did not hold the command at that position of the
    log, or an attempt recorded for a runner that had not started it."""
    return _stale_events(history) + _stale_attempts(history)


def _stale_events(history: History) -> list[str]:
    found = []
    stopping = {
        (event["session_id"], event["actor"]) for event in history.events if event["type"] == "session.stopping"
    }
    for command_id, events in history.by_command.items():
        holder = ""
        for event in events:
            if event["type"] == "command.started":
                holder = event["actor"]
                continue
            if event["type"] == _WITH_THE_END:
                continue
            ends_with_session = (event["session_id"], event["actor"]) in stopping and _is_by_stop(event)
            if event["actor"].startswith("runner:") and event["actor"] != holder and not ends_with_session:
                found.append(
                    f"{command_id}: {event['type']} by {event['actor']}, while {holder or 'no runner'} held it"
                )
            if event["type"] in _GIVES_UP:
                holder = ""
    return found


def _is_by_stop(event: Row) -> bool:
    """Return whether the stop of the session ended the command. A runner stops a session that it cannot connect."""
    is_cancel = event["type"] in {"command.cancelled", "command.cancel_requested"}
    return is_cancel and payload(event).get("reason") == "session stopped"


def _stale_attempts(history: History) -> list[str]:
    began = {
        (command_id, payload(event).get("attempt")): event["actor"].removeprefix("runner:")
        for command_id, events in history.by_command.items()
        for event in events
        if event["type"] == "command.started"
    }
    return [
        f"{command_id}: attempt {row['attempt']} ended as {row['runner_id']}'s, and {runner} started it"
        for command_id, attempts in history.attempts.items()
        for row in attempts
        if (runner := began.get((command_id, row["attempt"]))) != row["runner_id"]
    ]
