"""The caller of the current call."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard.auth.v1.auth_pb2 import Role

_CALLER: ContextVar["Caller"] = ContextVar("caller")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `principal` is its name in events and logs; `address` may be empty."""

    tenant_id: str
    principal: str
    key_id: str
    role: "Role.ValueType"
    address: str
    request_id: str


def current_caller() -> Caller:
    """Return the caller of the current call; raises LookupError outside of calls and in calls without a key."""
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """Set the caller for the rest of the current task. Each call runs in its own task."""
    _CALLER.set(caller)
