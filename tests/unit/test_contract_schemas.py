"""Schemas and descriptions of the OpenAPI document, generated from the contract."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.contract import all_methods, write_message
from libs.contract.comments import description_of_answer, description_of_input
from libs.contract.documents import body_schema
from libs.contract.fields import field_at
from libs.contract.operations import Operation
from libs.contract.schemas import Schemas
from libs.contract.slots import Limits, scope_of
from tests.support.random_messages import messages

OPERATIONS = [operation for method in all_methods() for operation in method.operations]
WRITTEN: tuple[Any, ...] = (commands_pb2.Command, commands_pb2.DeadLetter, events_pb2.Event, sessions_pb2.Session)


def check(schemas: Schemas, schema: dict[str, Any], value: Any) -> None:
    document = {**schema, "components": {"schemas": schemas.definitions}}
    jsonschema.Draft202012Validator(document).validate(value)


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.option.example], ids=lambda one: one.id)
def test_example_of_an_operation_is_a_valid_body(operation: Operation) -> None:
    schemas = Schemas()
    check(schemas, body_schema(operation, schemas), json.loads(operation.option.example))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(WRITTEN).flatmap(lambda kind: messages(kind.DESCRIPTOR)))
def test_written_message_matches_its_schema(message: Message) -> None:
    schemas, descriptor = Schemas(), message.DESCRIPTOR
    check(schemas, schemas.written(descriptor), orjson.loads(orjson.dumps(write_message(message))))  # type: ignore[arg-type]


def test_descriptions_use_the_terms_of_json() -> None:
    options, command = commands_pb2.CommandOptions.DESCRIPTOR, commands_pb2.Command.DESCRIPTOR
    assert description_of_input(field_at(options, "max_attempts")).endswith("1 to 25; not given means 3.")
    assert description_of_answer(field_at(options, "max_attempts")).endswith("1 to 25.")
    assert description_of_answer(field_at(command, "charged_attempts")).endswith("count towards `maxAttempts`.")
    assert description_of_answer(field_at(command, "requeued_from")).endswith("null when it is not a requeue.")
    key = field_at(commands_pb2.CancelCommandRequest.DESCRIPTOR, "submit_request_id")
    assert description_of_input(key).startswith("The `Idempotency-Key` of")
    assert description_of_input(field_at(command, "params_json")) == "The parameters: a JSON object."


def test_two_messages_with_one_schema_name_are_rejected() -> None:
    schemas = Schemas()
    schemas.written(commands_pb2.Command.DESCRIPTOR)
    with pytest.raises(ValueError, match="two schemas have the name Command"):
        schemas.given("Command", scope_of(commands_pb2.CommandSpec.DESCRIPTOR, Limits(is_whole=True)))
