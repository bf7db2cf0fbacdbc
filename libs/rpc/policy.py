"""The access policy of all methods, read from the contract. A method without a policy is denied to everyone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from callboard.auth.v1 import auth_pb2

if TYPE_CHECKING:
    from callboard.auth.v1.auth_pb2 import Role

HEALTH_SERVICE = "grpc.health.v1.Health"
REFLECTION_SERVICE = "grpc.reflection.v1alpha.ServerReflection"
# They reveal nothing about tenants, and a health check may have no key.
_OPEN_SERVICES = frozenset({HEALTH_SERVICE})
_OPEN_METHODS = frozenset({"/callboard.health.v1.ReadinessService/GetReadiness"})


@dataclass(frozen=True, slots=True)
class Access:
    """What a method requires of its caller.

    `role` is None if the method needs no key, and ROLE_UNSPECIFIED if it is denied to everyone. `is_ours` is False for
    the methods of gRPC's own services, whose requests have no rules.
    """

    role: "Role.ValueType | None"
    is_ours: bool = True

    @property
    def role_name(self) -> str:
        """The role as users write it: `operator`."""
        return auth_pb2.Role.Name(self.role or auth_pb2.ROLE_UNSPECIFIED).removeprefix("ROLE_").lower()

    @property
    def is_read(self) -> bool:
        """Whether the method changes nothing."""
        return self.role is None or self.role == auth_pb2.ROLE_VIEWER


DENIED = Access(auth_pb2.ROLE_UNSPECIFIED)


def load_policy(services: Iterable[str]) -> dict[str, Access]:
    """Return the access of each method, by path, of services given by full name; raises KeyError for an unknown one."""
    return {
        f"/{service}/{method.name}": _access(service, method.name, method.GetOptions())
        for service in services
        for method in descriptor_pool.Default().FindServiceByName(service).methods
    }


def request_types(services: Iterable[str]) -> list[type[Message]]:
    """Return the classes of all request messages of services given by full name."""
    methods = [
        method for service in services for method in descriptor_pool.Default().FindServiceByName(service).methods
    ]
    return [message_factory.GetMessageClass(method.input_type) for method in methods]


def _access(service: str, method: str, options: MethodOptions) -> Access:
    if service in _OPEN_SERVICES:
        return Access(None, is_ours=False)
    if service == REFLECTION_SERVICE:
        return Access(auth_pb2.ROLE_VIEWER, is_ours=False)
    if f"/{service}/{method}" in _OPEN_METHODS:
        return Access(None)
    return Access(options.Extensions[auth_pb2.required_role])
