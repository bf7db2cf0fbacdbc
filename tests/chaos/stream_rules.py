"""The rules for the work stream: I4 and I5."""

from collections import defaultdict

from tests.chaos.history import History
from tests.chaos.journal import Row


def numbers_have_no_gap(history: History) -> list[str]:
    """I4: a session's seq runs from 1 to n in the order of positions, a partition's positions from 1 to n, and the
    heads agree."""
    broken = []
    for session_id, events in history.by_session.items():
        seqs = [event["seq"] for event in events]
        if seqs != list(range(1, len(seqs) + 1)):
            broken.append(f"{session_id} has the numbers {_odd(seqs)} of {len(seqs)}")
    for head in history.rows("heads"):
        count = len(history.by_session.get(head["session_id"], []))
        if head["last_seq"] != count:
            broken.append(f"{head['session_id']} has {count} events, and its head says {head['last_seq']}")
    positions: dict[tuple[str, int], list[int]] = defaultdict(list)
    for event in history.events:
        positions[event["tenant_id"], event["partition"]].append(event["position"])
    for log in history.rows("log"):
        found = positions[log["tenant_id"], log["partition"]]
        if found != list(range(1, log["position"] + 1)):
            broken.append(
                f"partition {log['partition']} is at {log['position']}, with positions {_odd(found)} of {len(found)}"
            )
    return broken


def _odd(numbers: list[int]) -> list[int]:
    return [number for at, number in enumerate(numbers, 1) if number != at][:5]


def subscribers_see_everything_once(history: History) -> list[str]:
    """I5: each subscriber saw each event of its agent's sessions once and in order, and only stored events."""
    broken = [] if history.end.get("caught_up") else ["a subscriber did not catch up"]
    stored = {(event["session_id"], event["seq"]): event["event_id"] for event in history.events}
    seen: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for line in history.rows("seen"):
        if "seq" in line:
            seen[line["subscriber"], line["session_id"]].append(line)
            if stored.get((line["session_id"], line["seq"])) != line["event_id"]:
                broken.append(f"{line['subscriber']} saw {line['event_id']}, which is not stored at that position")
    for (subscriber, session_id), lines in seen.items():
        seqs = [line["seq"] for line in lines]
        if seqs != list(range(1, len(seqs) + 1)):
            broken.append(f"{subscriber} saw {_odd(seqs)} of {session_id} out of order, twice or not at all")
    return broken + _unseen(history, seen)


def _unseen(history: History, seen: dict[tuple[str, str], list[Row]]) -> list[str]:
    """Check that each subscriber of an agent saw the whole stream of its sessions."""
    following = {(line["agent_id"], line["subscriber"]) for line in history.rows("seen") if "seq" in line}
    return [
        f"{subscriber} saw {len(seen[subscriber, session_id])} of {len(events)} events of {session_id}"
        for session_id, events in history.by_session.items()
        for agent_id, subscriber in following
        if agent_id == events[0]["agent_id"] and len(seen.get((subscriber, session_id), [])) < len(events)
    ]
