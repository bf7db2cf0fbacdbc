"""What a route is: an operation of the API, as data. The edge carries it out, the OpenAPI document describes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from pydantic import BaseModel

from libs.errors import Reason
from services.gateway.models.shape import Body, Query

VERSION = "/api/v1"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asked for, read and checked against the operation's models.

    `body` and `query` are instances of the operation's models, None where it has none; `request_id` is the
    Idempotency-Key, `etag` what If-Match names, `last_event_id` what Last-Event-ID names, each empty when not given.
    """

    path: Mapping[str, str]
    query: Any
    body: Any
    request_id: str = ""
    etag: str = ""
    last_event_id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: a status, a JSON value (None for no body), and headers."""

    status: int
    value: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that an operation may give, for the documents: its model (None for none), its headers, and whether
    it may be a stream of events."""

    description: str
    model: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    streams: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    `rpc` is the full name of the method that it becomes, `request` and `reply` translate to and from it. `follow`
    is there when the operation streams events; `request` is None when it does nothing else. `refusals` are the
    reasons of its own, besides those that every operation shares. `names` are REST names of proto fields, where
    they are not those that follow from the field's own. `other_body` is another shape that the body's model takes.
    """

    name: str
    method: str
    path: str
    tag: str
    summary: str
    rpc: str
    answers: Mapping[int, Answer]
    request: Callable[[Asked], Message] | None = None
    reply: Callable[[Any, Asked], Reply] | None = None
    follow: Callable[[Asked], Message] | None = None
    query: type[Query] = Query
    body: type[Body] | None = None
    body_required: bool = True
    other_body: type[Body] | None = None
    conditional: bool = False
    errors: tuple[Reason, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether the operation changes something, and so takes an Idempotency-Key."""
        return self.method != "GET"

    def ask(self, asked: Asked, *, follows: bool) -> Message:
        """Translate what is asked into the request of the method, or of the stream."""
        translate = self.follow if follows else self.request
        if translate is None:
            raise TypeError(f"{self.name} has no such request")
        return translate(asked)

    def answer(self, response: Message, asked: Asked) -> Reply:
        """Translate the method's response."""
        if self.reply is None:
            raise TypeError(f"{self.name} does nothing but stream")
        return self.reply(response, asked)
