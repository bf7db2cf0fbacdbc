"""Reads the contract: descriptors with their comments and options."""

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from callboard.descriptors import read_comments


class GeneratorError(Exception):
    """The clients cannot be generated from the contract. The text names the element and the reason."""


class Schema:
    """A descriptor set in its own pool, so that the output does not depend on files that were generated before."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self._pool = DescriptorPool()
        for file in files.file:
            self._pool.Add(file)
        self._files = [file for file in files.file if file.package.startswith("callboard.")]
        self._comments = read_comments(files)

    def services(self) -> list[ServiceDescriptor]:
        """Return the services, in the order of their names."""
        found = [
            self._pool.FindServiceByName(f"{file.package}.{service.name}")
            for file in self._files
            for service in file.service
        ]
        return sorted(found, key=lambda service: str(service.name))

    def comment(self, full_name: str) -> str:
        """Return an element's comment as one line of text. Raises GeneratorError when it has none."""
        if full_name not in self._comments:
            raise GeneratorError(f"{full_name} has no comment")
        return self._comments[full_name]

    def is_read(self, method: MethodDescriptor) -> bool:
        """Return whether a method changes nothing: viewers may call it."""
        role = self._option(method, "google.protobuf.MethodOptions", "callboard.auth.v1.required_role")
        viewer = self._pool.FindEnumTypeByName("callboard.auth.v1.Role").values_by_name["ROLE_VIEWER"]
        return bool(role == viewer.number)

    def is_output_only(self, field: FieldDescriptor) -> bool:
        """Return whether callers cannot set a field (AIP-203)."""
        behaviors = self._option(field, "google.protobuf.FieldOptions", "google.api.field_behavior")
        output_only = self._pool.FindEnumTypeByName("google.api.FieldBehavior").values_by_name["OUTPUT_ONLY"]
        return output_only.number in (behaviors or ())

    def is_required(self, field: FieldDescriptor) -> bool:
        """Return whether a request without the field breaks a rule of the contract."""
        if field.containing_oneof is not None:
            return False
        rules = self._rules(field)
        if field.is_repeated:
            return bool(rules.repeated.min_items)
        pattern = rules.string.pattern
        rejects_empty = bool(pattern) and re.search(pattern, "") is None
        return bool(rules.required or rules.string.min_len or rejects_empty)

    def mask_paths(self, field: FieldDescriptor) -> list[str]:
        """Return the paths that an update mask may name."""
        return list(getattr(self._rules(field).field_mask, "in"))

    def _rules(self, field: FieldDescriptor) -> Any:
        return self._option(field, "google.protobuf.FieldOptions", "buf.validate.field")

    def _option(self, element: Any, options_name: str, extension_name: str) -> Any:
        """Return an option. Only the classes of the pool itself can read its extensions."""
        options = GetMessageClass(self._pool.FindMessageTypeByName(options_name))()
        options.ParseFromString(element.GetOptions().SerializeToString())
        extension: Any = self._pool.FindExtensionByName(extension_name)
        return options.Extensions[extension]


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """Return the field of a map's values, None when the field is no map."""
    entry = field.message_type
    return entry.fields_by_name["value"] if entry is not None and entry.GetOptions().map_entry else None


def own_messages(fields: Iterable[FieldDescriptor]) -> list[Descriptor]:
    """Return the messages of fields, without maps and without messages from outside the contract."""
    found = [field.message_type for field in fields if field.message_type is not None and map_value(field) is None]
    return [message for message in found if message.file.package.startswith("callboard.")]
