"""Routes: operations of the contract, with the functions that read their requests and write their responses."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from libs.contract import writer_of
from libs.contract.fields import Field
from libs.contract.operations import Operation, key_path
from libs.contract.paths import in_rest_words
from libs.contract.slots import KEY_FIELD
from libs.errors import ServiceError
from services.gateway.http.responses import Response, json_response
from services.gateway.rest.reader import OperationReader
from services.gateway.rest.requests import ParsedRequest

_NO_STORE = {"Cache-Control": "no-store"}
_BRACES = re.compile(r"\{([a-z0-9_.]+)\}")


@dataclass(frozen=True)
class Route:
    """An operation with its reader and its writer.

    `read` raises ServiceError. `follow` is set when the operation can stream: it returns the request of a stream, or
    None when the caller asks for a page. `more_query` and `other_body` are for the OpenAPI document: additional query
    parameters, and an alternative message for the body.
    """

    operation: Operation
    read: Callable[[ParsedRequest], Message]
    respond: Callable[[Any], Response]
    follow: Callable[[ParsedRequest], Message | None] | None = None
    more_query: tuple[Field, ...] = ()
    other_body: Descriptor | None = None

    @property
    def rpc(self) -> str:
        """The full name of the method."""
        return self.operation.method.full_name

    def in_rest_words(self, error: ServiceError, message: Message) -> ServiceError:
        """Return an error with its fields and its text in the names of REST."""
        operation, descriptor = self.operation, cast(Descriptor, message.DESCRIPTOR)
        body = operation.limits.body
        keys = dict.fromkeys((key_path(descriptor, body), KEY_FIELD), "Idempotency-Key")
        headers = {**keys, operation.option.if_match: "If-Match"}
        headers.pop("", None)  # not every operation has both
        return in_rest_words(error, descriptor, body=body, headers=headers)


def compiled_route(operation: Operation) -> Route:
    """Return the route of an operation that needs no override."""
    return Route(operation, OperationReader(operation), response_writer(operation))


def response_writer(operation: Operation) -> Callable[[Any], Response]:
    """Return the function that writes the responses of an operation's method."""
    option, field, status = operation.option, operation.rule.response_body, operation.status
    write, has_etag, locate = writer_of(operation.answer), operation.has_etag, _locator(option.location)

    def respond(response: Any) -> Response:
        headers = dict(_NO_STORE)
        is_created = not option.created or getattr(response, option.created)
        if locate is not None and is_created:
            headers["Location"] = locate(response)
        answer = getattr(response, field) if field else response
        if has_etag:
            headers["ETag"] = f'"{answer.etag}"'
        if status == 204:
            return Response(status, headers=headers)
        return json_response(status if is_created else 200, write(answer), headers)

    return respond


def _locator(template: str) -> Callable[[Any], str] | None:
    """Return the function that fills in a template of the header Location."""
    if not template:
        return None

    def locate(response: Any) -> str:
        return _BRACES.sub(lambda found: _value_at(response, found[1]), template)

    return locate


def _value_at(message: Any, path: str) -> str:
    for step in path.split("."):
        message = getattr(message, step)
    return str(message)
