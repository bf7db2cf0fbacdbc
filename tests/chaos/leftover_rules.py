"""The rule for the end of a run: I11."""

from tests.chaos.history import History

_MAX_MORE_DESCRIPTORS = 4
"""How many more descriptors a process may hold that ran throughout: sockets between two uses."""
_MAX_GROWTH = 0.2
_MAX_MORE_KIB = 30 * 1024


def nothing_is_left_over(history: History) -> list[str]:
    """I11: no command waits for dispatch or delivery, no dead letter for publication, no tool server is left, and no
    process holds more resources than before."""
    broken = [f"{row['command_id']} is still in ready" for row in history.rows("ready")]
    broken += [
        f"the dead letter of {row['command_id']} is not published"
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
        broken.append(f"tool servers are still running: {history.end['tools']}")
    for name, counts in history.end.get("consumers", {}).items():
        if any(counts):
            broken.append(f"{name} has {counts[0]} pending and {counts[1]} unacknowledged")
    return broken + _growth(history)


def _growth(history: History) -> list[str]:
    """Compare the processes that were never restarted, both times warmed up and without sessions and subscribers.

    Memory may grow by a fifth or by 30 MiB, whichever is more, because in a run of minutes a process of 90 to 120 MiB
    still fills its caches. Runs of a minute that killed no process grew by at most 2 descriptors and 6 MiB.
    """
    resources = history.end.get("resources", {"before": {}, "after": {}})
    broken = []
    for name, after in resources["after"].items():
        before = resources["before"].get(name)
        if before is None or before["pid"] != after["pid"]:
            continue
        if after["descriptors"] > before["descriptors"] + _MAX_MORE_DESCRIPTORS:
            broken.append(f"{name} had {before['descriptors']} descriptors, and has {after['descriptors']}")
        if after["kib"] - before["kib"] > max(_MAX_MORE_KIB, before["kib"] * _MAX_GROWTH):
            broken.append(f"{name} had {before['kib'] >> 10} MiB of memory, and has {after['kib'] >> 10}")
    return broken
