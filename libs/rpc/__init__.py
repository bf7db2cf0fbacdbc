"""gRPC: servers that authenticate callers, errors on the wire, and channels."""

from libs.rpc.assembly import Service
from libs.rpc.caller import Caller, current_caller
from libs.rpc.channel import call_metadata, open_channel
from libs.rpc.context import Context
from libs.rpc.errors import service_error_from_rpc, service_error_to_status
from libs.rpc.limits import ServerLimits
from libs.rpc.requests import check_rules
from libs.rpc.server import ListenError, RpcServer
from libs.rpc.values import actor, shared_scalars, timestamp

__all__ = [
    "Caller",
    "Context",
    "ListenError",
    "RpcServer",
    "ServerLimits",
    "Service",
    "actor",
    "call_metadata",
    "check_rules",
    "current_caller",
    "open_channel",
    "service_error_from_rpc",
    "service_error_to_status",
    "shared_scalars",
    "timestamp",
]
