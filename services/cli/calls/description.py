"""Describes methods for `callboard call`: in one line each, or one with all of its fields."""

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import Descriptor

from callboard.auth.v1 import auth_pb2
from callboard.descriptors import comments
from callboard.options.v1 import rest_pb2
from libs.contract import Method
from libs.contract.fields import Field, Kind, fields_of
from libs.contract.rules import exactly_one
from libs.contract.slots import Limits, Scope, Slot, scope_of
from services.cli.calls.field_rules import rules_of, type_of
from services.cli.calls.methods import needs_key, services_of, short_name

Lines = Iterator[str]
_INDENT = "  "
_NOTES = {"callboard.events.v1.StreamEventsRequest.cursor": "`start` and `now` say where to begin without one."}
"""Notes on fields in REST, in addition to the contract's comments."""


def summarize(methods: Iterable[Method]) -> list[str]:
    """Return a line for each method: its name, and the first sentence of its description."""
    rows = [(short_name(method), _first_sentence(method.description)) for method in methods]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {sentence}" for name, sentence in rows]


def describe(method: Method) -> Lines:
    """Yield what a method does, then the fields of its request and of its response."""
    yield method.full_name
    yield method.description
    yield ""
    yield f"Served by: {' and '.join(services_of(method))}"
    yield f"Key: {_role(method)}"
    for operation in method.operations:
        yield f"REST: {operation.verb} {operation.path}"
    yield ""
    yield "Request:"
    yield from _or_nothing(_request(scope_of(method.descriptor.input_type, method.limits), "", ()))
    yield ""
    yield "Response, many times:" if method.is_stream else "Response:"
    yield from _or_nothing(_response(_answer(method), "", (), ()))


def _request(scope: Scope, path: str, above: tuple[Descriptor, ...]) -> Lines:
    """Yield the fields that an object may have; `above` holds the messages that contain it."""
    for slot in scope.slots:
        name = path + slot.name
        yield _line(name, slot.field, is_required=slot.is_required and not _is_masked(scope, slot))
        if _has_fields(slot.field) and slot.field.message not in (*above, scope.message):
            inner = scope_of(slot.field.message, Limits(is_whole=True))
            yield from _request(inner, _inside(name, slot.field), (*above, scope.message))
    rules = [exactly_one(names, is_required=is_required) for names, is_required in scope.choices]
    for rule in filter(None, (*rules, scope.not_empty)):
        yield f"{_INDENT}{path.rstrip('.')}: {rule}." if path else f"{_INDENT}{rule[0].upper()}{rule[1:]}."


def _is_masked(scope: Scope, slot: Slot) -> bool:
    """Return whether an update changes the field only if it is given."""
    allowed = getattr(scope.mask.own_rules.field_mask, "in") if scope.mask is not None else ()
    return slot.path.removeprefix(f"{scope.body}.") in allowed


def _response(message: Descriptor, path: str, above: tuple[Descriptor, ...], without: Iterable[str]) -> Lines:
    names = {field.name for field in fields_of(message) if not field.option.flatten}
    for field in fields_of(message):
        if field.proto_name in without:
            continue
        if field.option.flatten:
            # the parent's field wins over a flattened one with the same name
            shared = [one.proto_name for one in fields_of(field.message) if one.name in names]
            yield from _response(field.message, path, (*above, message), shared)
            continue
        name = path + field.name
        yield _line(name, field, is_required=False, is_answer=True)
        if field.option.also_written_as:
            yield f"{_INDENT}{path}{field.option.also_written_as}: the same as {field.name}."
        if _has_fields(field) and field.message not in (*above, message):
            yield from _response(field.message, _inside(name, field), (*above, message), field.option.without)
    for extra in message.GetOptions().Extensions[rest_pb2.message].extra:
        yield f"{_INDENT}{path}{extra.name}: {_extra(extra)}"


def _line(name: str, field: Field, *, is_required: bool, is_answer: bool = False) -> str:
    said = [type_of(field), *(["required"] if is_required else []), *([] if is_answer else rules_of(field))]
    return f"{_INDENT}{name}: {', '.join(said)}. {_comment(field)}".rstrip()


def _comment(field: Field) -> str:
    full_name = field.descriptor.full_name
    return " ".join(filter(None, (comments().get(full_name, ""), _NOTES.get(full_name, ""))))


def _extra(extra: rest_pb2.Extra) -> str:
    match extra.WhichOneof("value"):
        case "text":
            return f'always "{extra.text}".'
        case "count_of":
            return f"how many {extra.count_of} there are."
        case _:
            return f"the same as {extra.value_of}, or null."


def _answer(method: Method) -> Descriptor:
    return method.operations[0].answer if method.operations else method.descriptor.output_type


def _role(method: Method) -> str:
    if not needs_key(method):
        return "none needed"
    role = method.descriptor.GetOptions().Extensions[auth_pb2.required_role]
    return " or ".join(
        auth_pb2.Role.Name(one).removeprefix("ROLE_").lower() for one in auth_pb2.Role.values() if one >= role
    )


def _has_fields(field: Field) -> bool:
    return field.kind is Kind.MESSAGE and not field.is_map


def _inside(name: str, field: Field) -> str:
    return f"{name}[]." if field.is_list else f"{name}."


def _or_nothing(lines: Lines) -> list[str]:
    return list(lines) or [f"{_INDENT}nothing"]


def _first_sentence(text: str) -> str:
    return f"{text.split('. ', 1)[0].rstrip('.')}."
