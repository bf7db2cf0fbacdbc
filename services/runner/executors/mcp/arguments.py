"""The parameters of a command, validated before anything is sent to the server."""

import json
from collections.abc import Mapping
from typing import Any

from services.runner.executors.failures import invalid_argument

_MAX_NAME = 4_096  # characters; long enough for a URI


class Parameters:
    """The parameters of one command. Each method raises INVALID_ARGUMENTS, which names the field and the rule."""

    def __init__(self, params: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        for field in params:
            if field not in allowed:
                rule = f"is an unknown field; known fields: {', '.join(allowed)}" if allowed else "is an unknown field"
                raise invalid_argument(f"params.{str(field)[:100]}", rule)
        self._params = params

    def name(self, field: str) -> str:
        """Return a required, non-empty string."""
        value = self._params.get(field)
        if not isinstance(value, str):
            raise invalid_argument(f"params.{field}", "is required" if value is None else "must be a string")
        if not 0 < len(value) <= _MAX_NAME:
            raise invalid_argument(f"params.{field}", f"must have 1 to {_MAX_NAME} characters")
        _check_sendable(field, value)
        return value

    def arguments(self, field: str = "arguments") -> dict[str, Any]:
        """Return an optional object."""
        value = self._params.get(field)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise invalid_argument(f"params.{field}", "must be an object")
        copy = dict(value)
        _check_sendable(field, copy)
        return copy

    def texts(self, field: str = "arguments") -> dict[str, str]:
        """Return an optional object whose values are strings."""
        for key, value in (arguments := self.arguments(field)).items():
            if not isinstance(value, str):
                raise invalid_argument(f"params.{field}.{key}", "must be a string")
        return arguments


def _check_sendable(field: str, value: object) -> None:
    """Reject values that JSON cannot represent: they would break the connection for all commands of the session."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        rule = "must be JSON, without lone surrogates, NaN or infinities"
        raise invalid_argument(f"params.{field}", rule) from None
    except RecursionError:
        raise invalid_argument(f"params.{field}", "is nested too deeply") from None
