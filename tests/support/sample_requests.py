"""Valid requests made from the contract, so that tests of all methods include a new one."""

import json
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from libs.contract import all_methods
from libs.contract.fields import Field, fields_of
from libs.contract.operations import Operation
from tests.support.stub_messages import COMMAND_ID

IDS = {"agent_id": "clock", "session_id": "ses-1", "command_id": COMMAND_ID}
"""The ids that stub services answer with, by the names of the fields that take them."""
_PARAMETER = re.compile(r"\{(\w+)\}")


def sample_message(request: Descriptor, ids: Mapping[str, str] = IDS) -> Message:
    """A request with the ids that it has fields for, of a oneof only the first. The other fields are not set."""
    given = {each.proto_name: ids[each.proto_name] for each in _fields(request, ids)}
    return message_factory.GetMessageClass(request)(**given)


def sample_json(request: Descriptor, ids: Mapping[str, str] = IDS) -> dict[str, Any]:
    """The same request as a JSON object."""
    return {each.name: ids[each.proto_name] for each in _fields(request, ids)}


def sample_routes() -> list[tuple[str, str, Any, int, str]]:
    """A request of each REST path: (verb, path, body, status, method). Its body is the operation's example."""
    return [
        (one.verb, _filled(path, one), _body(one), one.status, method.name)
        for method in all_methods()
        if not method.is_stream
        for one in method.operations
        for path in (one.path, *one.aliases)
    ]


def _fields(request: Descriptor, ids: Mapping[str, str]) -> list[Field]:
    named = [each for each in fields_of(request) if each.proto_name in ids and not each.descriptor.is_repeated]
    return [each for each in named if _is_first(each.descriptor)]


def _is_first(field: FieldDescriptor) -> bool:
    oneof = field.containing_oneof
    return oneof is None or oneof.fields[0].name == field.name


def _filled(path: str, operation: Operation) -> str:
    ids = {name: IDS[field.rpartition(".")[2]] for name, field in operation.bound.items()}
    return _PARAMETER.sub(lambda found: ids[found[1]], path)


def _body(operation: Operation) -> Any:
    return json.loads(operation.option.example) if operation.option.example else None
