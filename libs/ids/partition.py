"""Maps an agent or a session to the log partition of its events (concurrency, rule 4)."""

from zlib import crc32

PARTITIONS = 16
"""The number of log partitions of a tenant. Stored data depends on it, so it must never change."""


def partition_of(key: str) -> int:
    """Return the partition, 0 to 15, of an agent's id, or of a session's id if the session has no agent."""
    return crc32(key.encode()) % PARTITIONS
