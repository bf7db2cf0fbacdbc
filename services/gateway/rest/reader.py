"""Reads the requests of an operation, and reports their errors in the documented order."""

from collections.abc import Callable
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message

from libs.contract.operations import Operation, key_path
from libs.contract.readers import compile_binder, compile_reader, list_names
from libs.contract.slots import Scope, scope_of
from libs.contract.strict_json import read_object
from libs.contract.violations import invalid, shown
from libs.errors import Reason, ServiceError
from services.gateway.rest.requests import ParsedRequest, check_media_type, read_etag, read_key, read_query

JsonObject = dict[str, Any]


class OperationReader:
    """Converts HTTP requests to request messages of an operation's method. It is compiled when it is created.

    `adapt` changes the object of a body before it is read.
    """

    def __init__(self, operation: Operation, adapt: Callable[[JsonObject], JsonObject] | None = None) -> None:
        message = operation.method.input_type
        name = f"{operation.method.full_name}_{operation.id}"
        self._operation = operation
        self._adapt = adapt
        self._class = message_factory.GetMessageClass(message)
        self._bind = compile_binder(message, operation.bound)
        self._fill = compile_reader(name, message, operation.limits, as_text=not operation.changes)
        self._lists = {} if operation.changes else list_names(message, operation.limits)
        self._key = key_path(message, operation.limits.body).split(".")
        self._etag = operation.option.if_match.split(".")
        self._needs_body = needs_body(scope_of(message, operation.limits))

    def __call__(self, request: ParsedRequest) -> Message:
        """Return the request message; raises ServiceError."""
        message = self._class()
        self._bind(request.path, message)
        if self._operation.changes:
            self._read_change(request, message)
        else:
            self._fill(read_query(request.query, self._lists), message)
        return message

    def query(self, request: ParsedRequest) -> JsonObject:
        """Return the query parameters by name; raises ServiceError for an invalid path or query."""
        self._bind(request.path, self._class())
        return read_query(request.query, self._lists)

    def from_query(self, request: ParsedRequest, values: JsonObject) -> Message:
        """Return the request message with these values instead of the query's; raises ServiceError."""
        message = self._class()
        self._bind(request.path, message)
        self._fill(values, message)
        return message

    def _read_change(self, request: ParsedRequest, message: Message) -> None:
        if request.body:
            check_media_type(request.headers)
        if request.query:
            _reject_query(read_query(request.query, {}))
        if request.body:
            given = read_object(request.body)
            self._fill(self._adapt(given) if self._adapt is not None else given, message)
        elif self._needs_body:
            raise ServiceError(Reason.JSON_INVALID, "the body must be a JSON object, but it is empty")
        if key := read_key(request):
            _set(message, self._key, key)
        if self._etag != [""] and (etag := read_etag(request.headers)):
            _set(message, self._etag, etag)


def needs_body(scope: Scope) -> bool:
    """Return whether a body is required because an empty object would be invalid."""
    must_choose = any(is_required for _, is_required in scope.choices)
    return scope.mask is not None or must_choose or any(slot.is_required for slot in scope.slots)


def _reject_query(values: JsonObject) -> None:
    """Raise ServiceError for the query of an operation that takes none."""
    raise invalid([(shown(name), "is not a field of this request") for name in values])


def _set(message: Any, path: list[str], value: str) -> None:
    for step in path[:-1]:
        message = getattr(message, step)
    setattr(message, path[-1], value)
