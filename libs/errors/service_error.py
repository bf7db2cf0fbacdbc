"""A refusal: an error that Callboard means, raised by domain and operations, turned into a status in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.errors.reasons import Reason


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks its rule: the field's path in the request, and the rule in words."""

    field: str
    rule: str


class ServiceError(Exception):
    """The call was refused for a reason that its caller can read; nothing was done."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)


def field_invalid(field: str, rule: str) -> ServiceError:
    """Make the refusal of one field that breaks its rule."""
    return ServiceError(Reason.FIELD_INVALID, f"{field}: {rule}", violations=[FieldViolation(field, rule)])
