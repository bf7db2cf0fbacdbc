"""Finds the addresses of the services and the key: from arguments or from the environment."""

import os
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 30.0
"""The default time limit of a call, retries included."""
_SESSION_ADDRESS = "127.0.0.1:7401"
_COMMAND_ADDRESS = "127.0.0.1:7402"


@dataclass(frozen=True)
class Connection:
    """The addresses of the services, as host:port, and an API key."""

    session_address: str
    command_address: str
    api_key: str = field(repr=False)


def find_connection(api_key: str | None, session_address: str | None, command_address: str | None) -> Connection:
    """Return the arguments, or for missing ones CALLBOARD_KEY, CALLBOARD_SESSION_ADDRESS and CALLBOARD_COMMAND_ADDRESS.

    The addresses default to those of `callboard up`. Raises ValueError if the key is missing or malformed.
    """
    key = (os.environ.get("CALLBOARD_KEY", "") if api_key is None else api_key).strip()
    if not key:
        raise ValueError("api_key: is required; pass it, or set CALLBOARD_KEY")
    if not (key.isascii() and key.isprintable()):
        raise ValueError("api_key: contains invalid characters")
    return Connection(
        session_address or os.environ.get("CALLBOARD_SESSION_ADDRESS") or _SESSION_ADDRESS,
        command_address or os.environ.get("CALLBOARD_COMMAND_ADDRESS") or _COMMAND_ADDRESS,
        key,
    )
