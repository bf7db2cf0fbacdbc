"""Describes what a method returns: the resource in its response, the whole response, the items of a page, or nothing.

A response with a resource and further fields is returned as a type that extends the resource's. So a field that is
added to a response later changes nothing for users of the resource.
"""

import re
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tools.protos.clients.fields import TypeNames, can_miss, python_name, reader_name, returned_field
from tools.protos.clients.schema import GeneratorError, Schema, own_messages


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a method returns."""

    type: str
    read: str
    """The expression that reads it from `message`; empty when nothing is returned."""


def is_list(method: MethodDescriptor) -> bool:
    """Return whether a method returns pages that contain only items."""
    items = {field.name for field in method.output_type.fields if field.is_repeated}
    return len(items) == 1 and set(method.output_type.fields_by_name) - items == {"next_page_token"}


def resource_field(response: Descriptor) -> FieldDescriptor | None:
    """Return the field of a response that holds a resource: the first, if it is a single message of the contract."""
    fields = list(response.fields)
    return fields[0] if fields and not fields[0].is_repeated and own_messages(fields[:1]) else None


def returned_messages(method: MethodDescriptor) -> list[Descriptor]:
    """Return the messages in a method's answer. Each of them becomes a type."""
    response = method.output_type
    fields = list(response.fields)
    held = own_messages(fields)
    is_whole = bool(fields) and not is_list(method) and not _is_resource_alone(response)
    return [response, *held] if is_whole else held


def describe_answer(schema: Schema, method: MethodDescriptor, names: TypeNames) -> Answer:
    """Describe what a method returns."""
    response = method.output_type
    fields = list(response.fields)
    if not fields:
        return Answer(type="None", read="")
    if is_list(method) or _is_resource_alone(response):
        field = returned_field(schema, next(one for one in fields if one.name != "next_page_token"), names)
        return Answer(type=field.type, read=field.read)
    type_, read = names.of(response.name), f"{reader_name(response)}(message)"
    resource = resource_field(response)
    if resource is None or not can_miss(schema, resource):
        return Answer(type=type_, read=read)
    return Answer(type=f"{type_} | None", read=f'{read} if message.HasField("{resource.name}") else None')


def further_fields(response: Descriptor) -> list[FieldDescriptor]:
    """Return the other fields of a response. Raises GeneratorError when the resource has a field of the same name."""
    resource = resource_field(response)
    fields = [field for field in response.fields if field != resource]
    if resource is not None and resource.message_type is not None:
        own = {python_name(field) for field in resource.message_type.fields}
        for field in fields:
            if python_name(field) in own:
                raise GeneratorError(f"{field.full_name} has the name of a field of {resource.message_type.name}")
    return fields


def item_type(answer: Answer) -> str:
    """Return the type of the items of a list."""
    found = re.fullmatch(r"[a-z.]*list\[(.*)\]", answer.type)
    return found[1] if found is not None else ""


def _is_resource_alone(response: Descriptor) -> bool:
    return len(list(response.fields)) == 1 and resource_field(response) is not None
