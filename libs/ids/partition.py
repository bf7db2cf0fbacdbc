"""Which log partition an agent's or a session's events go to (concurrency, rule 4)."""

from zlib import crc32

PARTITIONS = 16
"""Log partitions of a tenant; part of the stored data, so it never changes for a tenant that exists."""


def partition_of(key: str) -> int:
    """Return the partition, 0 to 15, of an agent's id (or of a session's id, for a session without an agent)."""
    return crc32(key.encode()) % PARTITIONS
