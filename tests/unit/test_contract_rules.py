"""The compiler supports rules and types that the contract may use at any time, though no field uses them yet."""

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from buf.validate import validate_pb2
from callboard import descriptors
from libs.contract.readers import compile_reader
from libs.contract.slots import Limits
from libs.errors import ServiceError


def _field(number: int, name: str, kind: Any) -> FieldDescriptorProto:
    return FieldDescriptorProto(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)


def _sample() -> Descriptor:
    """A message whose fields have the rules and types in question."""
    pool = DescriptorPool()
    contract = descriptors.contract()
    sample = contract.file.add(name="sample.proto", package="sample", syntax="proto3")
    message = sample.message_type.add(name="Sample")
    code = _field(1, "code", FieldDescriptorProto.TYPE_STRING)
    code.options.Extensions[validate_pb2.field].string.min_len = 3
    flags = [_field(number, name, FieldDescriptorProto.TYPE_BOOL) for number, name in ((3, "fast"), (4, "slow"))]
    message.field.extend([code, _field(2, "ratio", FieldDescriptorProto.TYPE_DOUBLE), *flags])
    message.options.Extensions[validate_pb2.message].oneof.add(fields=["fast", "slow"])
    for file in contract.file:
        pool.Add(file)
    return pool.FindMessageTypeByName("sample.Sample")


SAMPLE = _sample()


def read(values: dict[str, Any], *, as_text: bool = False) -> Any:
    message = GetMessageClass(SAMPLE)()
    compile_reader("test_sample", SAMPLE, Limits(is_whole=True), as_text=as_text)(values, message)
    return message


def rule_of(values: dict[str, Any], *, as_text: bool = False) -> str:
    with pytest.raises(ServiceError) as caught:
        read(values, as_text=as_text)
    return caught.value.message


def test_text_has_a_shortest_length() -> None:
    assert read({"code": "abc"}).code == "abc"
    assert rule_of({"code": "ab"}) == "code: must be at least 3 characters"


def test_number_may_be_whole_or_not() -> None:
    assert [read({"code": "abc", "ratio": ratio}).ratio for ratio in (2, 0.5)] == [2.0, 0.5]
    assert rule_of({"code": "abc", "ratio": "0.5"}) == "ratio: must be a number"
    assert rule_of({"code": "abc", "ratio": True}) == "ratio: must be a number"


def test_boolean_of_a_query_is_a_word() -> None:
    assert read({"code": "abc", "fast": "true"}, as_text=True).fast
    assert not read({"code": "abc", "fast": "false"}, as_text=True).fast
    assert rule_of({"code": "abc", "fast": "1"}, as_text=True) == "fast: must be true or false"


def test_at_most_one_of_exclusive_fields_may_be_given() -> None:
    assert rule_of({"code": "abc", "fast": True, "slow": True}) == "at most one of fast and slow may be given"
    assert not read({"code": "abc"}).slow
