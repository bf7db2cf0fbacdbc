"""Compiles functions that read requests from JSON or a query, and reject values that break a rule.

Their source is generated, as in `dataclasses`, so that they are as fast as functions written by hand. They check single
values and report errors with the names of REST. The service checks the other rules.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from libs.contract.adjustments import ADJUSTMENTS
from libs.contract.fields import field_at
from libs.contract.reader_source import ReaderSources
from libs.contract.slots import Limits, scope_of
from libs.contract.violations import invalid
from libs.errors import field_invalid

Read = Callable[[Mapping[str, Any], Message], None]
"""Fills a message from an object or a query; raises ServiceError FIELD_INVALID."""


@cache
def sources(*, as_text: bool) -> ReaderSources:
    """Return the readers that this process has compiled, of bodies or of queries."""
    return ReaderSources(as_text=as_text)


def compile_reader(name: str, message: Descriptor, limits: Limits, *, as_text: bool = False) -> Read:
    """Return the function that reads an object, or with `as_text` a query, into a message; `name` must be unique."""
    made = sources(as_text=as_text)
    name = re.sub(r"\W", "_", name)
    if name not in made.sources:
        made.declare(name, scope_of(message, limits))
    read_object = made.names.namespace[name]
    adjust = ADJUSTMENTS.get(message.full_name)

    def read(given: Mapping[str, Any], filled: Message) -> None:
        errors: list[tuple[str, str]] = []
        late: list[tuple[str, str]] = []
        read_object(given, filled, "", errors, late)
        if errors or late:
            raise invalid(errors or late)
        if adjust is not None:
            adjust(filled)

    return read


def compile_binder(message: Descriptor, bound: Mapping[str, str]) -> Callable[[Mapping[str, str], Message], None]:
    """Return the function that fills a message from path parameters; `bound` maps their names to proto paths."""
    targets = []
    for name, path in bound.items():
        pattern = re.compile(field_at(message, path).pattern)
        *above, last = path.split(".")
        targets.append((name, pattern.fullmatch, pattern.pattern, tuple(above), last))

    def bind(parameters: Mapping[str, str], filled: Any) -> None:
        for name, match, pattern, above, last in targets:
            value = parameters[name]
            if match(value) is None:
                raise field_invalid(name, f"must match {pattern}")
            target = filled
            for step in above:
                target = getattr(target, step)
            setattr(target, last, value)

    return bind


def list_names(message: Descriptor, limits: Limits) -> dict[str, bool]:
    """Return the query parameters that take many values, and whether a comma separates the values of each."""
    scope = scope_of(message, limits)  # a label's value may contain commas
    return {slot.name: not slot.field.is_map for slot in scope.slots if slot.field.descriptor.is_repeated}
