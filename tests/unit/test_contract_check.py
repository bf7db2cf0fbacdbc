"""`make check` reports each method without a role or REST options, each field without a rule, and each wrong option."""

from collections.abc import Callable

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from buf.validate import validate_pb2
from callboard import descriptors
from callboard.auth.v1 import auth_pb2
from callboard.options.v1 import rest_pb2
from libs.contract import __main__ as contract_check
from libs.contract import all_methods
from libs.contract.check import WITHOUT_REST, problems

_FILE = "callboard/commands/v1/commands.proto"
Change = Callable[[FileDescriptorProto], None]


def methods_of(change: Change) -> list[MethodDescriptor]:
    """The methods of the command service after a change of its file."""
    pool = DescriptorPool()
    for file in descriptors.contract().file:
        if file.name == _FILE:
            change(file)
        pool.Add(file)
    services = pool.FindFileByName(_FILE).services_by_name.values()
    return [method for service in services for method in service.methods]


def problems_of(change: Change) -> list[str]:
    return problems(methods_of(change), [name for name in WITHOUT_REST if "commands" in name])


def method(file: FileDescriptorProto, name: str) -> rest_pb2.Operation:
    (found,) = [one for service in file.service for one in service.method if one.name == name]
    operation: rest_pb2.Operation = found.options.Extensions[rest_pb2.operation][0]
    return operation


def http(file: FileDescriptorProto, name: str) -> http_pb2.HttpRule:
    (found,) = [one for service in file.service for one in service.method if one.name == name]
    return found.options.Extensions[annotations_pb2.http]


def field(file: FileDescriptorProto, message: str, name: str) -> rest_pb2.FieldRule:
    (owner,) = [one for one in file.message_type if one.name == message]
    (found,) = [one for one in owner.field if one.name == name]
    rule: rest_pb2.FieldRule = found.options.Extensions[rest_pb2.field]
    return rule


def test_contract_has_no_problem() -> None:
    assert problems(one.descriptor for one in all_methods()) == []
    assert problems_of(lambda file: None) == []


def test_method_without_an_operation_is_reported() -> None:
    def forget(file: FileDescriptorProto) -> None:
        for service in file.service:
            for one in service.method:
                if one.name == "GetCommand":
                    one.options.ClearExtension(rest_pb2.operation)
                    one.options.ClearExtension(annotations_pb2.http)

    (problem,) = problems_of(forget)
    assert problem.startswith("callboard.commands.v1.CommandService.GetCommand: has no REST operation")


def test_method_without_a_required_role_is_reported() -> None:
    def forget(file: FileDescriptorProto) -> None:
        file.service[0].method[0].options.ClearExtension(auth_pb2.required_role)

    assert problems_of(forget) == ["callboard.commands.v1.CommandService.SubmitCommand: has no required_role"]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("CommandSpec", "type"),
        ("CommandOptions", "max_attempts"),
        ("CommandOptions", "timeout"),
        ("CommandOptions", "priority"),
        ("PurgeDeadLettersRequest", "command_ids"),
        ("BulkSubmitCommandsRequest", "commands"),
    ],
)
def test_field_of_a_request_without_a_rule_is_reported(message: str, name: str) -> None:
    def forget(file: FileDescriptorProto) -> None:
        (owner,) = [one for one in file.message_type if one.name == message]
        (found,) = [one for one in owner.field if one.name == name]
        found.options.ClearExtension(validate_pb2.field)

    assert problems_of(forget) == [f"callboard.commands.v1.{message}.{name}: has no rule (buf.validate.field)"]


def test_field_of_a_response_needs_no_rule() -> None:
    def add(file: FileDescriptorProto) -> None:
        (owner,) = [one for one in file.message_type if one.name == "AcceptedCommand"]
        owner.field.add(name="note", number=99, type=9, label=1)

    assert problems_of(add) == []


def test_exception_for_an_unknown_method_is_reported() -> None:
    names = [*WITHOUT_REST, "callboard.commands.v1.CommandService.Gone"]
    assert problems([one.descriptor for one in all_methods()], names) == [
        "callboard.commands.v1.CommandService.Gone: is in the list of exceptions but is no method"
    ]


def test_exception_for_a_method_with_an_operation_is_reported() -> None:
    name = "callboard.commands.v1.CommandService.GetCommand"
    assert problems([one.descriptor for one in all_methods()], [*WITHOUT_REST, name]) == [
        f"{name}: has a REST operation and is in the list of exceptions"
    ]


def test_map_of_messages_is_reported() -> None:
    def add(file: FileDescriptorProto) -> None:
        (owner,) = [one for one in file.message_type if one.name == "Command"]
        entry = owner.nested_type.add(name="NotesEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=9, label=1)
        entry.field.add(name="value", number=2, type=11, label=1, type_name=".callboard.commands.v1.Attempt")
        type_name = ".callboard.commands.v1.Command.NotesEntry"
        owner.field.add(name="notes", number=99, type=11, label=3, type_name=type_name)

    assert problems_of(add) == [
        "callboard.commands.v1.Command.notes: is a map of messages, which the compiler does not support"
    ]


def test_check_of_the_contract_ends_with_all_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_check, "problems", lambda methods: ["a: is wrong", "b: is wrong"])
    with pytest.raises(SystemExit, match=r"are wrong:\n  a: is wrong\n  b: is wrong$"):
        contract_check.main()
    monkeypatch.undo()
    contract_check.main()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda file: method(file, "SubmitCommand").reasons.append("NOPE"), "reasons names NOPE"),
        (lambda file: setattr(method(file, "SubmitCommand"), "location", "/{command.no}"), "location names command.no"),
        (lambda file: setattr(method(file, "GetCommand"), "created", "made"), "created names made"),
        (lambda file: setattr(method(file, "CancelCommand"), "if_match", "etag"), "if_match names etag"),
        (lambda file: method(file, "ListCommands").without.append("nope"), "without names nope"),
        (lambda file: setattr(method(file, "ListCommands"), "summary", ""), "has no tag or no summary"),
        (lambda file: setattr(method(file, "SubmitCommand"), "example", '{"nope": 1}'), "the example has nope"),
        (lambda file: setattr(method(file, "SubmitCommand"), "example", "{"), "the example is not JSON"),
        (lambda file: setattr(method(file, "GetCommand"), "location", "/{command.state.x}"), "names command.state.x"),
        (lambda file: setattr(field(file, "Command", "state").flag, "word", "nope"), "state: flag names the word nope"),
        (lambda file: setattr(method(file, "SubmitCommand"), "id", "getCommand"), "getCommand occurs 2 times"),
        (lambda file: setattr(http(file, "GetCommand"), "response_body", "nope"), "response_body names nope"),
        (lambda file: setattr(http(file, "GetCommand"), "get", "/api/v1/commands/{nope}"), "the path names 'nope'"),
        (lambda file: http(file, "GetCommand").additional_bindings.add(get="/api/v1/x"), "2 REST paths"),
        (lambda file: setattr(field(file, "Command", "state"), "flatten", True), "Command.state: flatten does not fit"),
        (lambda file: setattr(field(file, "Command", "attempt"), "json", 1), "Command.attempt: json does not fit"),
        (lambda file: setattr(field(file, "Command", "type"), "not_empty", True), "type: not_empty does not fit"),
        (lambda file: field(file, "ListCommandsResponse", "commands").without.append("x"), "commands: without names x"),
        (lambda file: setattr(field(file, "CommandSpec", "type"), "name", "params"), "2 fields have the name params"),
    ],
)  # fmt: skip
def test_option_that_refers_to_nothing_is_reported(change: Change, named: str) -> None:
    found = problems_of(change)
    assert any(named in problem for problem in found), found
