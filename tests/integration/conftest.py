"""Fixtures of the integration tests; they live in `tests/support`."""

from tests.support.odd_connections import odd, record

__all__ = ["odd", "record"]
