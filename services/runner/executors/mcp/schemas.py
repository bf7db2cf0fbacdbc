"""Checks arguments against a tool's own input schema, before the tool is called."""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import structlog
from jsonschema import SchemaError, ValidationError  # type: ignore[import-untyped]
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
from jsonschema.validators import Draft202012Validator, validator_for  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import Unresolvable

from libs.attempts import AttemptFailedError, FailureCode
from services.runner.executors.failures import failed, invalid_argument
from services.runner.executors.mcp.results import excerpt

_log = structlog.get_logger(__name__)

_MOST_FAULTS = 10


class ArgumentSchema:
    """A tool's input schema, compiled once: that costs sixty times a check."""

    def __init__(self, tool: str, schema: Mapping[str, Any]) -> None:
        self._tool = tool
        self._validator = _compile(tool, schema)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise INVALID_ARGUMENTS with the validator's words and the paths, when the schema is broken.

        A schema that is itself broken is the server's fault: then the server's own check is the only one.
        """
        if self._validator is None:
            return
        try:
            faults = list(islice(self._validator.iter_errors(dict(arguments)), _MOST_FAULTS))
        except (Unresolvable, re.error, ArithmeticError) as error:
            # A reference that leads nowhere, a pattern that is none: neither shows before it is used.
            _log.warning("schema_not_checked", tool=self._tool, why=excerpt(str(error), 500))
            self._validator = None
            return
        except RecursionError:
            raise invalid_argument("params.arguments", "is nested too deep") from None
        if faults:
            raise _error_of(self._tool, faults)


def _compile(tool: str, schema: Mapping[str, Any]) -> Any:
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        _log.warning("schema_not_checked", tool=tool, why=excerpt(error.message, 500))
        return None
    # An empty registry: without one, a `$ref` to a URL would be fetched.
    return kind(schema, registry=Registry())


def _error_of(tool: str, faults: list[ValidationError]) -> AttemptFailedError:
    first = best_match(faults)
    listed = [{"field": _field(fault), "rule": excerpt(fault.message, 500)} for fault in faults]
    message = f"{_field(first)}: {excerpt(first.message, 500)}"
    return failed(FailureCode.INVALID_ARGUMENTS, message, tool=tool, errors=listed)


def _field(fault: ValidationError) -> str:
    """Where it is: `params.arguments.items[3].name`."""
    return excerpt("params.arguments" + fault.json_path.removeprefix("$"), 200)
