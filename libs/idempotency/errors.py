"""The errors that callers read of their keys. No other code makes them."""

from collections.abc import Mapping

from libs.errors import Reason, ServiceError
from libs.idempotency.model import KeyCode

_ERRORS: dict[str, tuple[Reason, str]] = {
    KeyCode.REUSED: (Reason.IDEMPOTENCY_KEY_REUSED, "this idempotency key was used with another request"),
    KeyCode.IN_USE: (Reason.IDEMPOTENCY_KEY_IN_USE, "the first request with this idempotency key still runs"),
}


def key_error(code: str, metadata: Mapping[str, str] | None = None) -> ServiceError | None:
    """Return the error that a code means, None for a code that means none.

    `code` may be one of an operation's own: where those speak of a key, they have the words of `KeyCode`.
    """
    found = _ERRORS.get(code)
    return ServiceError(*found, metadata=metadata) if found else None


def check_key(code: str) -> None:
    """Reject a key that was used with another request, or whose first use still runs."""
    error = key_error(code)
    if error is not None:
        raise error
