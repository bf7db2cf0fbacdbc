"""How long to wait before trying again."""

import random

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 2.0


def backoff_seconds(failures: int) -> float:
    """Draw a random wait below a bound that doubles with each failure, so that processes do not retry together."""
    bound: float = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures, 10))
    return random.uniform(0, bound)  # noqa: S311
