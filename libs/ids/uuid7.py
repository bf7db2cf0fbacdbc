"""UUIDv7 (RFC 9562, section 5.7). The ids sort roughly by time, but nothing may rely on their order."""

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return a new UUIDv7 from the current millisecond and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7000 << 64 | (random >> 64 & 0x0FFF) << 64
    value |= 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=value)
