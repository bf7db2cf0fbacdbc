"""Errors that name each wrong field of a request and the rule that it breaks."""

from libs.errors import FieldViolation, Reason, ServiceError

_MOST_VIOLATIONS = 100
_LONGEST_NAME = 128


def invalid(found: list[tuple[str, str]]) -> ServiceError:
    """Return the error for broken rules, each with the path of its field."""
    (field, rule), more = found[0], len(found) - 1
    text = f"{field}: {rule}" if field else rule
    violations = [FieldViolation(*one) for one in found[:_MOST_VIOLATIONS]]
    return ServiceError(Reason.FIELD_INVALID, f"{text} (and {more} more)" if more else text, violations=violations)


def shown(name: str) -> str:
    """Return a name that a caller gave, shortened for an error message."""
    return name.encode(errors="replace").decode()[:_LONGEST_NAME]
