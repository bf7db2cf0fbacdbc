"""The schemas that are not in the contract: problems, health and readiness."""

from typing import Any

_READINESS = {"enum": ["ready", "degraded", "notReady"]}
_TEXT = {"type": "string"}
OWN_SCHEMAS: dict[str, dict[str, Any]] = {
    "Health": {
        "type": "object",
        "description": "The gateway is alive.",
        "properties": {"status": {"const": "ok"}},
        "required": ["status"],
        "additionalProperties": False,
    },
    "Readiness": {
        "type": "object",
        "description": "The readiness of the suite and of each part.",
        "properties": {"status": _READINESS, "parts": {"type": "object", "additionalProperties": _READINESS}},
        "required": ["status", "parts"],
        "additionalProperties": False,
    },
    "Violation": {
        "type": "object",
        "description": "A field that breaks its rule.",
        "properties": {"field": _TEXT, "rule": _TEXT},
        "required": ["field", "rule"],
        "additionalProperties": False,
    },
    "Problem": {
        "type": "object",
        "description": "Why a request was rejected (RFC 9457). Some reasons add members, such as `oldestCursor`.",
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "reason": _TEXT,
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Violation"}},
            "instance": _TEXT,
        },
        "required": ["type", "title", "status", "detail", "reason", "errors", "instance"],
        "additionalProperties": True,
    },
}
