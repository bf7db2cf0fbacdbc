"""Checks arguments against a tool's input schema before the tool is called."""

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

_MAX_FAULTS = 10


class ArgumentSchema:
    """A tool's input schema, compiled once: compiling takes sixty times as long as a check."""

    def __init__(self, tool: str, schema: Mapping[str, Any]) -> None:
        self._tool = tool
        self._validator = _compile(tool, schema)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise INVALID_ARGUMENTS, with messages and paths from the validator, if the arguments break the schema.

        An invalid schema is the server's fault. Then only the server checks the arguments.
        """
        if self._validator is None:
            return
        try:
            faults = list(islice(self._validator.iter_errors(dict(arguments)), _MAX_FAULTS))
        except (Unresolvable, re.error, ArithmeticError) as error:
            # An unresolvable reference or an invalid pattern shows only when it is used.
            _log.warning("schema_invalid", tool=self._tool, error=excerpt(str(error), 500))
            self._validator = None
            return
        except RecursionError:
            raise invalid_argument("params.arguments", "is nested too deeply") from None
        if faults:
            raise _error_of(self._tool, faults)


def _compile(tool: str, schema: Mapping[str, Any]) -> Any:
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        _log.warning("schema_invalid", tool=tool, error=excerpt(error.message, 500))
        return None
    # The empty registry prevents that a `$ref` to a URL is fetched.
    return kind(schema, registry=Registry())


def _error_of(tool: str, faults: list[ValidationError]) -> AttemptFailedError:
    first = best_match(faults)
    listed = [{"field": _field(fault), "rule": excerpt(fault.message, 500)} for fault in faults]
    message = f"{_field(first)}: {excerpt(first.message, 500)}"
    return failed(FailureCode.INVALID_ARGUMENTS, message, tool=tool, errors=listed)


def _field(fault: ValidationError) -> str:
    """Return the path of a fault, such as `params.arguments.items[3].name`."""
    return excerpt("params.arguments" + fault.json_path.removeprefix("$"), 200)
