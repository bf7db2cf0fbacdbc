"""Errors that callers see. Each has a reason, a gRPC code and an HTTP status."""

from libs.errors.reasons import HTTP_STATUS, STATUS, Reason
from libs.errors.service_error import (
    FieldViolation,
    ServiceError,
    field_invalid,
)

__all__ = ["HTTP_STATUS", "STATUS", "FieldViolation", "Reason", "ServiceError", "field_invalid"]
