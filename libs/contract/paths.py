"""Translates field paths: from the contract's names, which a service's error uses, into those of REST."""

import re
from collections.abc import Mapping, Sequence

from google.protobuf.descriptor import Descriptor

from libs.contract.fields import Kind, field_of
from libs.contract.values import camel
from libs.errors import FieldViolation, Reason, ServiceError

_STEP = re.compile(r'([A-Za-z0-9_]+)((?:\["(?:[^"\\]|\\.)*"\]|\[\w+\])*)(?:\.|$)')
_TOKEN_FIELDS = {Reason.PAGE_TOKEN_INVALID: "page_token", Reason.CURSOR_INVALID: "cursor"}


def in_rest_words(
    error: ServiceError, message: Descriptor, *, body: str = "", headers: Mapping[str, str] | None = None
) -> ServiceError:
    """Return an error with its fields and its text in the names of REST.

    `body` names the field that is the body. `headers` holds the headers that fill fields, by field path.
    """
    violations = error.violations
    if not violations and error.reason in _TOKEN_FIELDS:
        violations = (FieldViolation(_TOKEN_FIELDS[error.reason], error.message),)
    if not violations:
        return error
    translated = [
        FieldViolation((headers or {}).get(one.field) or rest_path(message, one.field, body), one.rule)
        for one in violations
    ]
    detail = _detail(translated) if error.violations else error.message
    return ServiceError(error.reason, detail, metadata=error.metadata, violations=translated)


def rest_path(message: Descriptor, path: str, body: str = "") -> str:
    """Translate a path: `command.options.max_attempts` is `maxAttempts`, `spec.context_json` is `context`."""
    steps: list[str] = []
    at: Descriptor | None = message
    for found in _STEP.finditer(path):
        name, indexes = found.groups()
        descriptor = at.fields_by_name.get(name) if at is not None else None
        if descriptor is None:
            steps.append(camel(name) + indexes)
            at = None
            continue
        field = field_of(descriptor)
        is_body = name == body and at is message
        if (field.option.flatten or is_body) and not indexes and found.end() < len(path):
            at = field.message
            continue
        if field.kind is not Kind.FIELD_MASK:  # REST has no mask: a request changes the fields that it gives
            steps.append(field.name + indexes)
        at = descriptor.message_type
    return ".".join(steps)


def _detail(violations: Sequence[FieldViolation]) -> str:
    first, more = violations[0], len(violations) - 1
    text = f"{first.field}: {first.rule}" if first.field else first.rule
    return f"{text} (and {more} more)" if more else text
