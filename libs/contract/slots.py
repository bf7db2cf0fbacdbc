"""The names that one JSON object accepts, and the field of the request message that each one fills."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import cast

from google.protobuf.descriptor import Descriptor, OneofDescriptor

from buf.validate import validate_pb2
from callboard.options.v1 import rest_pb2
from libs.contract.fields import Field, Kind, fields_of

KEY_FIELD = "request_id"
"""The field that the header Idempotency-Key fills."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One accepted name and its field. `above` is the path to the message that contains the field."""

    name: str
    above: tuple[str, ...]
    field: Field
    is_required: bool

    @property
    def path(self) -> str:
        """The path of the field, in proto names."""
        return ".".join((*self.above, self.field.proto_name))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the names that an object accepts.

    `bound` holds the paths that the URL and headers fill, `without` those that the operation does not accept. `body` is
    the field that is the body. With `is_whole`, one object holds the whole request, including URL and headers.
    """

    bound: Collection[str] = ()
    without: Collection[str] = ()
    body: str = ""
    is_whole: bool = False
    if_match: str = ""


@dataclass(slots=True)
class Scope:
    """What one JSON object accepts.

    `flat` holds the paths of the messages that are flattened into it. `choices` holds groups of names of which at most
    one may be given, each with whether one is required. `mask` is the field mask that is computed from the given names.
    `not_empty` is the rule that an object without values breaks.
    """

    message: Descriptor
    slots: list[Slot] = field(default_factory=list)
    flat: list[tuple[str, ...]] = field(default_factory=list)
    choices: list[tuple[list[str], bool]] = field(default_factory=list)
    body: str = ""
    mask: Field | None = None
    not_empty: str = ""


def scope_of(message: Descriptor, limits: Limits) -> Scope:
    """Return what the object of a message accepts."""
    scope = Scope(message, body=limits.body, not_empty=message.GetOptions().Extensions[rest_pb2.message].not_empty)
    scope.slots = _collect(scope, message, (), limits)
    return scope


def _collect(scope: Scope, message: Descriptor, above: tuple[str, ...], limits: Limits) -> list[Slot]:
    slots: list[Slot] = []
    for one in fields_of(message):
        path = ".".join((*above, one.proto_name))
        if _is_bound(message, one, above, limits) or path in limits.without:
            continue
        if one.kind is Kind.FIELD_MASK:
            scope.mask = one
        elif one.option.flatten or path == limits.body:
            scope.flat.append((*above, one.proto_name))
            slots += _collect(scope, one.message, (*above, one.proto_name), limits)
        elif _is_accepted(one, path, above, limits):
            slots.append(Slot(one.name, above, one, one.is_required))
    return _chosen(scope, message, above, slots)


def _is_accepted(one: Field, path: str, above: tuple[str, ...], limits: Limits) -> bool:
    """Whether the object accepts the field: output-only fields cannot be set, and the idempotency key is a header."""
    is_key = one.proto_name == KEY_FIELD and len(above) <= (limits.body != "")
    return (limits.is_whole or not is_key) and (not one.is_output_only or path == limits.if_match)


def _chosen(scope: Scope, message: Descriptor, above: tuple[str, ...], slots: list[Slot]) -> list[Slot]:
    """Record the names that exclude each other. If only one of a required choice is left, it is required."""
    for names, is_required in _choices(message):
        rivals = [slot for slot in slots if slot.above == above and slot.field.proto_name in names]
        if len(rivals) > 1:
            scope.choices.append(([slot.name for slot in rivals], is_required))
        elif rivals and is_required:
            slots[slots.index(rivals[0])] = replace(rivals[0], is_required=True)
    return slots


def _is_bound(message: Descriptor, one: Field, above: tuple[str, ...], limits: Limits) -> bool:
    """Whether the URL or a header fills the field, or another field of the same choice."""
    rivals = {one.proto_name}
    for names, _ in _choices(message):
        if one.proto_name in names:
            rivals |= set(names)
    return any(".".join((*above, name)) in limits.bound for name in rivals)


def _choices(message: Descriptor) -> Iterator[tuple[list[str], bool]]:
    """Yield groups of fields of which at most one may be set, each with whether one must be."""
    for oneof in cast("list[OneofDescriptor]", message.oneofs):
        names = [one.name for one in oneof.fields]
        if len(names) > 1:
            yield names, oneof.GetOptions().Extensions[validate_pb2.oneof].required
    for rule in message.GetOptions().Extensions[validate_pb2.message].oneof:
        yield list(rule.fields), rule.required
