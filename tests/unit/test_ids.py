"""Ids, and their log partitions."""

import time
from collections import Counter

import pytest

from libs.ids import PARTITIONS, partition_of, uuid7


def test_uuid7_has_version_variant_and_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(1_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 1_000
    for uuid in made:
        assert uuid.version == 7
        assert uuid.variant == "specified in RFC 4122"
        assert before <= uuid.int >> 80 <= after


def test_all_random_bits_of_uuid7_vary() -> None:
    ones = zeros = 0
    for _ in range(200):
        value = uuid7().int
        ones |= value
        zeros |= ~value
    free = ((1 << 12) - 1) << 64 | ((1 << 62) - 1)
    assert ones & free == free
    assert zeros & free == free


@pytest.mark.parametrize(("key", "partition"), [("clock", 2), ("", 0), ("agent-1", 9), ("ünïcode", 10)])
def test_partition_of_a_key_never_changes(key: str, partition: int) -> None:
    """Stored data depends on it. If this fails, existing tenants cannot find their logs any more."""
    assert partition_of(key) == partition


def test_partitions_are_used_evenly() -> None:
    used = Counter(partition_of(f"agent-{number}") for number in range(16_000))
    assert set(used) == set(range(PARTITIONS))
    assert min(used.values()) > 700
