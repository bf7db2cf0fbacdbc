"""The rules for sessions: I7 and I8."""

from collections import defaultdict

from tests.chaos.history import CLOSING, History

_STOPPED = 8  # SESSION_STATE_STOPPED
_STOPPING = "session.stopping"
_REJECTED = {"command.enqueued", "command.started"}  # while a session stops
_TOLERANCE = 0.05  # seconds; an answer is recorded a little after it was given


def nothing_follows_a_stop(history: History) -> list[str]:
    """I7: a stopping session accepts and starts no commands, and its last event closes it. After a stop is answered, no
    tool of the session starts."""
    broken = []
    for session in history.rows("sessions"):
        types = [event["type"] for event in history.by_session.get(session["session_id"], [])]
        closing = [type_ for type_ in types if type_ in CLOSING]
        if len(closing) > 1 or (closing and types[-1] not in CLOSING):
            broken.append(f"{session['session_id']} ends with {types[types.index(closing[0]) :]}")
        if bool(closing) != (session["ended_at"] is not None):
            broken.append(f"{session['session_id']} is {session['state']}, and its events end with {types[-1:]}")
        late = types[types.index(_STOPPING) :] if _STOPPING in types else []
        broken += [f"{session['session_id']}: {type_} while it stopped" for type_ in late if type_ in _REJECTED]
    ended = _answered_stops(history)
    for line in history.effects:
        command = history.commands.get(line["commandId"] or "")
        stopped = ended.get(command["session_id"]) if command else None
        if line["phase"] == "start" and stopped is not None and line["time"] > stopped + _TOLERANCE:
            late = line["time"] - stopped
            broken.append(
                f"{line['commandId']} attempt {line['attempt']} started {late:.2f} s after its session's stop"
            )
    return broken


def _answered_stops(history: History) -> dict[str, float]:
    """Return when the stop of each session was first answered, in seconds of the monotonic clock."""
    ended: dict[str, float] = {}
    for operation in history.invoked("stop", "restart", phase="ok"):
        answer = operation["answer"]
        over = answer["previous"] if operation["kind"] == "restart" else answer["session_id"]
        if over and (operation["kind"] == "restart" or answer["state"] == _STOPPED):
            ended[over] = min(ended.get(over, operation["ended"]), operation["ended"])
    return ended


def one_session_lives(history: History) -> list[str]:
    """I8: in the order of the log, an agent's session starts only after its previous session has ended."""
    broken = []
    live: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in history.events:
        sessions = live[event["tenant_id"], event["agent_id"]]
        if event["type"] == "session.started":
            if sessions:
                broken.append(f"{event['session_id']} of {event['agent_id']} started beside {sorted(sessions)}")
            sessions.add(event["session_id"])
        elif event["type"] in CLOSING:
            sessions.discard(event["session_id"])
        elif event["session_id"] not in sessions:
            broken.append(f"{event['type']} of {event['session_id']}, which is not live")
    alive = [row for row in history.rows("sessions") if row["ended_at"] is None]
    return broken + [
        f"{row['session_id']} is {row['state']}, and its events have closed it"
        for row in alive
        if row["session_id"] not in live[row["tenant_id"], row["agent_id"]]
    ]
