"""The errors of idempotency keys. No other module creates them."""

from collections.abc import Mapping

from libs.errors import Reason, ServiceError
from libs.idempotency.model import KeyCode

_ERRORS: dict[str, tuple[Reason, str]] = {
    KeyCode.REUSED: (Reason.IDEMPOTENCY_KEY_REUSED, "this idempotency key was used with another request"),
    KeyCode.IN_USE: (Reason.IDEMPOTENCY_KEY_IN_USE, "the first request with this idempotency key still runs"),
}


def key_error(code: str, metadata: Mapping[str, str] | None = None) -> ServiceError | None:
    """Return the error for a code, or None when the code is not about an unusable key.

    `code` may be an operation's own code. Its codes about keys have the values of `KeyCode`.
    """
    found = _ERRORS.get(code)
    return ServiceError(*found, metadata=metadata) if found else None


def check_key(code: str) -> None:
    """Raise ServiceError for a key that was used with another request or whose first use is still running."""
    error = key_error(code)
    if error is not None:
        raise error
