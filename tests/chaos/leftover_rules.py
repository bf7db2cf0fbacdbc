"""What must hold of the end of it all: I11."""

from tests.chaos.history import History

_MOST_DESCRIPTORS = 4
"""More than before, in a process that lived through the run: sockets that are between two uses."""
_MOST_GROWTH = 0.2
_MOST_KIB = 30 * 1024


def nothing_is_left_over(history: History) -> list[str]:
    """I11: nothing waits to be dispatched or delivered, no letter to be published, no tool server runs on, and no
    process holds more than before."""
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
    return broken + _growth(history)


def _growth(history: History) -> list[str]:
    """Compares the processes that were never restarted, each time warm and with no session and no subscriber.

    Memory may grow by a fifth or by 30 MiB, whichever is more: in a run of minutes a process of 90 to 120 MiB still
    fills its caches. Measured in runs of a minute that killed none of them: 2 descriptors and 6 MiB at most.
    """
    resources = history.end.get("resources", {"before": {}, "after": {}})
    broken = []
    for name, after in resources["after"].items():
        before = resources["before"].get(name)
        if before is None or before["pid"] != after["pid"]:
            continue
        if after["descriptors"] > before["descriptors"] + _MOST_DESCRIPTORS:
            broken.append(f"{name} had {before['descriptors']} descriptors, and has {after['descriptors']}")
        if after["kib"] - before["kib"] > max(_MOST_KIB, before["kib"] * _MOST_GROWTH):
            broken.append(f"{name} had {before['kib'] >> 10} MiB of memory, and has {after['kib'] >> 10}")
    return broken
