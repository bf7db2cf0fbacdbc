"""The parameters of each type of command: their shape, checked before anything is sent."""

import json
from collections.abc import Mapping
from typing import Any

from services.runner.executors.failures import invalid_argument

_LONGEST_NAME = 4_096  # characters; a URI may be this long


class Parameters:
    """The parameters of one command; each method raises INVALID_ARGUMENTS naming the field and the rule."""

    def __init__(self, params: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        for field in params:
            if field not in allowed:
                rule = f"is no known field; known are {', '.join(allowed)}" if allowed else "is no known field"
                raise invalid_argument(f"params.{str(field)[:100]}", rule)
        self._params = params

    def name(self, field: str) -> str:
        """Return a required text that is not empty."""
        value = self._params.get(field)
        if not isinstance(value, str):
            raise invalid_argument(f"params.{field}", "is required" if value is None else "must be a string")
        if not 0 < len(value) <= _LONGEST_NAME:
            raise invalid_argument(f"params.{field}", f"must have 1 to {_LONGEST_NAME} characters")
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
    """Refuse what JSON can't carry: it would break the connection for every other command of the session."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        rule = "must be JSON, without lone surrogates, NaN or infinities"
        raise invalid_argument(f"params.{field}", rule) from None
    except RecursionError:
        raise invalid_argument(f"params.{field}", "is nested too deep") from None
