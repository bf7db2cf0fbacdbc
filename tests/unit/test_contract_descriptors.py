"""The descriptor set of the public package is complete and has every comment."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from callboard.agents.v1 import agents_pb2
from callboard.descriptors import comments, contract


def _elements(file: FileDescriptorProto) -> Iterator[str]:
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}"
        yield from (f"{file.package}.{enum.name}.{value.name}" for value in enum.value)
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)
    for message in file.message_type:
        yield from _elements_of_message(f"{file.package}.{message.name}", message)


def _elements_of_message(name: str, message: DescriptorProto) -> Iterator[str]:
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    for nested in message.nested_type:
        if not nested.options.map_entry:
            yield from _elements_of_message(f"{name}.{nested.name}", nested)


def test_every_element_of_the_contract_has_its_comment() -> None:
    names = {name for file in contract().file if file.package.startswith("callboard.") for name in _elements(file)}
    assert len(names) > 400
    assert names - comments().keys() == set()


def test_comment_is_found_by_full_name_as_one_line() -> None:
    assert comments()["callboard.agents.v1.AgentService.CreateAgent"] == (
        "Creates an agent. If its id is taken, the call is rejected with AGENT_EXISTS."
    )
    assert comments()["callboard.events.v1.StreamEventsRequest.scope"] == "Whose events to follow."


def test_descriptor_set_contains_all_imports_in_order() -> None:
    pool = DescriptorPool()
    for file in contract().file:
        pool.Add(file)
    found = pool.FindMessageTypeByName("callboard.agents.v1.Agent")
    assert [field.name for field in found.fields] == [field.name for field in agents_pb2.Agent.DESCRIPTOR.fields]
