"""The contract as descriptors with comments, for compilers of the contract and tools that read a protoset."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

_NESTED = {  # the fields of a descriptor that hold further descriptors, by their numbers in a path of source info
    "FileDescriptorProto": {4: "message_type", 5: "enum_type", 6: "service", 7: "extension"},
    "DescriptorProto": {2: "field", 3: "nested_type", 4: "enum_type", 6: "extension", 8: "oneof_decl"},
    "EnumDescriptorProto": {2: "value"},
    "ServiceDescriptorProto": {2: "method"},
}


def serialized_contract() -> bytes:
    """Return the contract and all that it imports, as a serialized FileDescriptorSet with source info."""
    return resources.files("callboard").joinpath("descriptors.binpb").read_bytes()


def contract() -> FileDescriptorSet:
    """Return the contract and all that it imports, imports first."""
    return FileDescriptorSet.FromString(serialized_contract())


@cache
def comments() -> dict[str, str]:
    """Return the leading comment of each element of the contract by its full name, as one line of text.

    The full name of an enum's value contains the enum's name:
    `callboard.commands.v1.CommandState.COMMAND_STATE_QUEUED`.
    """
    return read_comments(contract())


def read_comments(files: FileDescriptorSet) -> dict[str, str]:
    """Return the comments of a descriptor set, as `comments` does."""
    return {name: text for file in files.file for name, text in _commented(file)}


def _commented(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        name = _full_name(file, location.path) if location.leading_comments else ""
        if name:
            yield name, " ".join(location.leading_comments.split())


def _full_name(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """Return the name of the element at a path, empty for an element without a name, such as an option."""
    element: Any = file
    names = [file.package]
    for number, index in zip(path[::2], path[1::2], strict=False):
        nested = _NESTED.get(element.DESCRIPTOR.name, {}).get(number)
        if nested is None:
            return ""
        element = getattr(element, nested)[index]
        names.append(element.name)
    return ".".join(names) if len(path) % 2 == 0 else ""
