"""Refusals: the errors that Callboard means, each with its reason, its gRPC code and its HTTP status."""

from libs.errors.reasons import HTTP_STATUS, STATUS, Reason
from libs.errors.service_error import (
    FieldViolation,
    ServiceError,
    field_invalid,
)

__all__ = ["HTTP_STATUS", "STATUS", "FieldViolation", "Reason", "ServiceError", "field_invalid"]
