"""The error that services raise to reject a call. One place in `libs.rpc` turns it into a gRPC status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.errors.reasons import Reason


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks a rule: its path in the request, and the rule in words."""

    field: str
    rule: str


class ServiceError(Exception):
    """A call was rejected for a reason that the caller can handle. Nothing was changed."""

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
    """Return the error for one field that breaks a rule."""
    return ServiceError(Reason.FIELD_INVALID, f"{field}: {rule}", violations=[FieldViolation(field, rule)])
