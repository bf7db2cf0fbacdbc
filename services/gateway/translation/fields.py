"""Names of fields: the contract's paths, as a refusal has them, in the words of the REST API."""

import re
from collections.abc import Mapping, Sequence

from libs.errors import FieldViolation, Reason, ServiceError

_STEP = re.compile(r'([A-Za-z0-9_]+)((?:\["(?:[^"\\]|\\.)*"\]|\[\w+\])*)(?:\.|$)')
_WRAPPERS = frozenset({"agent", "spec", "command", "options"})
_NAMES = {
    "concurrent_sessions": "exclusive",
    "request_id": "Idempotency-Key",
    "states": "state",
    "update_mask": "",
    "etag": "If-Match",
}
_TOKEN_FIELDS = {Reason.PAGE_TOKEN_INVALID: "page_token", Reason.CURSOR_INVALID: "cursor"}


def in_rest_words(error: ServiceError, names: Mapping[str, str]) -> ServiceError:
    """Return the refusal with its fields and its text in REST names; `names` has a route's own, by proto name."""
    violations = error.violations
    if not violations and error.reason in _TOKEN_FIELDS:
        violations = (FieldViolation(_TOKEN_FIELDS[error.reason], error.message),)
    if not violations:
        return error
    translated = [FieldViolation(rest_path(found.field, names), found.rule) for found in violations]
    detail = _detail(translated) if error.violations else error.message
    return ServiceError(error.reason, detail, metadata=error.metadata, violations=translated)


def rest_path(path: str, names: Mapping[str, str]) -> str:
    """Translate a path: `command.options.max_attempts` is `maxAttempts`, `spec.context_json` is `context`."""
    steps: list[str] = []
    for found in _STEP.finditer(path):
        name, places = found.groups()
        if not steps and name in _WRAPPERS and not places and found.end() < len(path):
            continue
        steps.append(_rest_name(name, names) + places)
    return ".".join(steps) if steps else path


def metadata_in_rest_words(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a refusal's metadata under camelCase names."""
    return {camel(key): value for key, value in metadata.items()}


def camel(name: str) -> str:
    """Write a snake_case name in camelCase."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _rest_name(name: str, names: Mapping[str, str]) -> str:
    own = names.get(name, _NAMES.get(name))
    return own if own is not None else camel(name.removesuffix("_json"))


def _detail(violations: Sequence[FieldViolation]) -> str:
    first, more = violations[0], len(violations) - 1
    text = f"{first.field}: {first.rule}" if first.field else first.rule
    return f"{text} (and {more} more)" if more else text
