"""Checks the contract's options.

Every method has a required role and REST options, every field of a request has a rule, and every option names something
that exists.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from google.protobuf.descriptor import Descriptor, MethodDescriptor

from buf.validate import validate_pb2
from callboard.auth.v1 import auth_pb2
from callboard.options.v1 import rest_pb2
from libs.contract.fields import Field, Kind, field_at, field_of, fields_of
from libs.contract.operations import ContractError, Operation, operations_of
from libs.contract.slots import Scope, scope_of
from libs.contract.words import words_of
from libs.errors import Reason

WITHOUT_REST = {
    "callboard.commands.v1.CommandService.BulkSubmitCommands": "for programs that submit by the thousand, over gRPC",
    "callboard.health.v1.ReadinessService.GetReadiness": "REST has /readyz",
    "callboard.identity.v1.IdentityService.GetPrincipal": "for the gateway itself",
}
"""The methods that REST does not have, and why."""
_VALID_BY_THEMSELVES = {Kind.MESSAGE, Kind.TIMESTAMP, Kind.FIELD_MASK}
_BRACES = re.compile(r"\{([^}]*)\}")


def problems(methods: Iterable[MethodDescriptor], without_rest: Iterable[str] = WITHOUT_REST) -> list[str]:
    """Return the mistakes in the options of methods and of the messages that they take and return."""
    methods, excepted = list(methods), set(without_rest)
    found = [*_coverage(methods, excepted)]
    operations: list[Operation] = []
    for method in methods:
        try:
            operations += [operation for operation in operations_of(method) if operation.path]
        except ContractError as error:
            found.append(str(error))
        except KeyError as error:
            found.append(f"{method.full_name}: the path names {error}, which is no field of the request")
    for operation in operations:
        found += _of_operation(operation)
    for message in _messages([*(method.input_type for method in methods), *(method.output_type for method in methods)]):
        found += _of_message(message)
    for message in _messages(method.input_type for method in methods):
        found += _without_rules(message)
    ids = Counter(operation.id for operation in operations)
    routes = Counter(f"{one.verb} {path}" for one in operations for path in (one.path, *one.aliases))
    return found + [f"{name} occurs {count} times" for name, count in (ids + routes).items() if count > 1]


def _coverage(methods: list[MethodDescriptor], excepted: set[str]) -> Iterator[str]:
    known = {method.full_name: method for method in methods}
    for name, method in known.items():
        if method.GetOptions().Extensions[auth_pb2.required_role] == auth_pb2.ROLE_UNSPECIFIED:
            yield f"{name}: has no required_role"
        has_rest = bool(method.GetOptions().Extensions[rest_pb2.operation])
        if not has_rest and name not in excepted:
            yield f"{name}: has no REST operation and is not in the list of exceptions (WITHOUT_REST)"
        if has_rest and name in excepted:
            yield f"{name}: has a REST operation and is in the list of exceptions"
    for name in sorted(excepted - known.keys()):
        yield f"{name}: is in the list of exceptions but is no method"


def _of_operation(operation: Operation) -> Iterator[str]:
    option, rule = operation.option, operation.rule
    request, response = operation.method.input_type, operation.method.output_type
    where = f"{operation.method.full_name} ({operation.id})"
    if not option.tag or not option.summary:
        yield f"{where}: has no tag or no summary"
    yield from _unnamed(f"{where}: body", request, [rule.body.rstrip("*")])
    yield from _unnamed(f"{where}: if_match", request, [option.if_match])
    yield from _unnamed(f"{where}: without", request, option.without)
    yield from _unnamed(f"{where}: response_body", response, [rule.response_body])
    yield from _unnamed(f"{where}: created", response, [option.created])
    yield from _unnamed(f"{where}: location", response, _BRACES.findall(option.location))
    for reason in option.reasons:
        if reason not in Reason.__members__:
            yield f"{where}: reasons names {reason}, which is no reason of a ServiceError"
    try:
        yield from _of_scope(where, scope_of(request, operation.limits), option.example)
    except KeyError as error:
        yield f"{where}: {error} is no field"


def _of_scope(where: str, scope: Scope, example: str) -> Iterator[str]:
    names = Counter(name for slot in scope.slots for name in _all_names(slot.field, slot.name))
    for name, count in names.items():
        if count > 1:
            yield f"{where}: {count} fields have the name {name}"
    try:
        given = json.loads(example or "{}")
    except ValueError:
        yield f"{where}: the example is not JSON"
        return
    for name in given:
        if name not in names:
            yield f"{where}: the example has {name}, which is no field"


def _of_message(message: Descriptor) -> Iterator[str]:
    rule = message.GetOptions().Extensions[rest_pb2.message]
    for extra in rule.extra:
        yield from _unnamed(f"{message.full_name}: extra {extra.name}", message, [extra.value_of, extra.count_of])
    for descriptor in message.fields:
        yield from _of_field(field_of(descriptor))


def _of_field(field: Field) -> Iterator[str]:
    option, where = field.option, field.descriptor.full_name
    is_message = field.kind is Kind.MESSAGE and not field.is_map
    fits: dict[str, Callable[[], bool]] = {
        "flatten": lambda: not option.flatten or (is_message and not field.is_list),
        "json": lambda: not option.json or field.descriptor.cpp_type == field.descriptor.CPPTYPE_STRING,
        "pattern": lambda: not option.pattern or field.kind is Kind.STRING,
        "not_empty": lambda: not option.not_empty or field.is_list,
        "camel_keys": lambda: not option.camel_keys or field.is_map,
        "without": lambda: not option.without or is_message,
        "flag": lambda: not option.HasField("flag") or field.kind is Kind.ENUM,
    }
    for name, does_fit in fits.items():
        if not does_fit():
            yield f"{where}: {name} does not fit the type of the field"
    if field.is_map and field.map_value.kind is Kind.MESSAGE:
        yield f"{where}: is a map of messages, which the compiler does not support"
    if is_message:
        yield from _unnamed(f"{where}: without", field.message, option.without)
    if field.kind is Kind.ENUM and option.HasField("flag") and option.flag.word not in words_of(field.enum).numbers:
        yield f"{where}: flag names the word {option.flag.word}, which {field.enum.name} does not have"


def _without_rules(message: Descriptor) -> Iterator[str]:
    """Yield the fields of a request that a caller can get wrong and that have no rule.

    A boolean is always valid, and so is a message whose own fields are. Services ignore an output-only field.
    """
    for field in () if message.GetOptions().map_entry else fields_of(message):
        is_one_message = field.kind in _VALID_BY_THEMSELVES and not field.descriptor.is_repeated
        has_rule = field.descriptor.GetOptions().HasExtension(validate_pb2.field)
        if not (has_rule or is_one_message or field.kind is Kind.BOOLEAN or field.is_output_only):
            yield f"{field.descriptor.full_name}: has no rule (buf.validate.field)"


def _unnamed(where: str, message: Descriptor, paths: Iterable[str]) -> Iterator[str]:
    for path in filter(None, paths):
        try:
            field_at(message, path)
        except KeyError:
            yield f"{where} names {path}, which {message.name} does not have"


def _all_names(field: Field, name: str) -> Iterator[str]:
    yield from filter(None, (name, field.option.also_read_as, field.option.flag.name))


def _messages(roots: Iterable[Descriptor]) -> list[Descriptor]:
    """Return all messages that these ones hold, including themselves."""
    seen: dict[str, Descriptor] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name not in seen and message.full_name.startswith("callboard."):
            seen[message.full_name] = message
            waiting += [field.message for field in fields_of(message) if field.kind is Kind.MESSAGE]
    return list(seen.values())
