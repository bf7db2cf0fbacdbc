"""Reads the operations of REST from the contract: verb, path, body and response."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from callboard.options.v1 import rest_pb2
from libs.contract.fields import field_at
from libs.contract.slots import Limits

_VERSION = re.compile(r"^/api/v\d+/")
_PARAMETER = re.compile(r"\{([a-z0-9_.]+)\}")


class ContractError(Exception):
    """The contract's options name something that does not exist, or lack something that is required."""


@dataclass(frozen=True)
class Operation:
    """One operation: `rule` is its binding, and `aliases` are its other paths, written as in OpenAPI."""

    method: MethodDescriptor
    option: rest_pb2.Operation
    rule: http_pb2.HttpRule
    aliases: tuple[str, ...]

    @cached_property
    def id(self) -> str:
        """The operation's id."""
        return self.option.id or self.method.name[0].lower() + self.method.name[1:]

    @cached_property
    def verb(self) -> str:
        """The HTTP method."""
        return str(self.rule.WhichOneof("pattern")).upper()

    @cached_property
    def path(self) -> str:
        """The path, with names in braces as in OpenAPI."""
        return rest_path(self.method.input_type, pattern_of(self.rule))

    @cached_property
    def bound(self) -> dict[str, str]:
        """The paths of the request fields that the URL fills, by parameter name."""
        paths = _PARAMETER.findall(pattern_of(self.rule))
        return {field_at(self.method.input_type, path).name: path for path in paths}

    @property
    def changes(self) -> bool:
        """Whether it changes something. Such an operation takes an Idempotency-Key."""
        return self.verb != "GET"

    @property
    def has_body(self) -> bool:
        """Whether it takes a body."""
        return bool(self.rule.body)

    @cached_property
    def limits(self) -> Limits:
        """What the body or the query does not accept: the fields that the URL and the headers fill."""
        filled = {*self.bound.values(), self.option.if_match} - {""}
        return Limits(filled, set(self.option.without), self.rule.body.rstrip("*"))

    @cached_property
    def answer(self) -> Descriptor:
        """The message that is the body of a success."""
        if not self.rule.response_body:
            return self.method.output_type
        found = field_at(self.method.output_type, self.rule.response_body)
        return found.message

    @property
    def status(self) -> int:
        """The status of a success."""
        return self.option.status or (200 if self.answer.fields else 204)

    @property
    def has_etag(self) -> bool:
        """Whether a success carries an ETag."""
        return "etag" in self.answer.fields_by_name


def operations_of(method: MethodDescriptor) -> list[Operation]:
    """Return the operations of a method; raises ContractError when bindings and options do not match."""
    options = list(method.GetOptions().Extensions[rest_pb2.operation])
    groups = _groups(method)
    if len(groups) != len(options):
        raise ContractError(f"{method.full_name}: {len(groups)} REST paths and {len(options)} operations")
    return [
        Operation(method, option, rules[0], tuple(rest_path(method.input_type, pattern_of(rule)) for rule in rules[1:]))
        for option, rules in zip(options, groups, strict=True)
    ]


def pattern_of(rule: http_pb2.HttpRule) -> str:
    """Return the path of a binding, written as in the contract."""
    return str(getattr(rule, rule.WhichOneof("pattern") or "get"))


def rest_path(message: Descriptor, pattern: str) -> str:
    """Return a path with the names of REST in braces."""
    return _PARAMETER.sub(lambda found: f"{{{field_at(message, found[1]).name}}}", pattern)


def key_path(message: Descriptor, body: str) -> str:
    """Return the path of the field that the Idempotency-Key fills; empty when there is none."""
    fields: Mapping[str, FieldDescriptor] = message.fields_by_name
    if "request_id" in fields:
        return "request_id"
    inner = fields[body].message_type if body in fields else None
    return f"{body}.request_id" if inner is not None and "request_id" in inner.fields_by_name else ""


def _groups(method: MethodDescriptor) -> list[list[http_pb2.HttpRule]]:
    """Return the bindings of a method, grouped so that those of a group differ only in their version."""
    groups: dict[tuple[str | None, str], list[http_pb2.HttpRule]] = {}
    for rule in _bindings(method):
        path = _VERSION.sub("/api/", pattern_of(rule))
        groups.setdefault((rule.WhichOneof("pattern"), path), []).append(rule)
    return list(groups.values())


def _bindings(method: MethodDescriptor) -> Iterator[http_pb2.HttpRule]:
    options = method.GetOptions()
    if options.HasExtension(annotations_pb2.http):
        first = options.Extensions[annotations_pb2.http]
        yield first
        yield from first.additional_bindings
