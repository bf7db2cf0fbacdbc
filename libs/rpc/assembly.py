"""A gRPC server with its interceptor, health and reflection, not started yet."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from protovalidate import Validator

from libs.rpc.interceptor import ServingInterceptor
from libs.rpc.limits import ServerLimits
from libs.rpc.policy import HEALTH_SERVICE, REFLECTION_SERVICE, load_policy, request_types
from libs.rpc.served import Serving


@dataclass(frozen=True, slots=True)
class Service:
    """A service to serve: its full name in the contract, its generated `add_..._to_server`, its servicer."""

    name: str
    register: Callable[[Any, grpc.aio.Server], None]
    servicer: object


def served_names(services: Sequence[Service]) -> tuple[str, ...]:
    """Return the full names of all services of a server, health and reflection included."""
    return (*(service.name for service in services), HEALTH_SERVICE, REFLECTION_SERVICE)


def build_server(
    services: Sequence[Service], serving: Serving, health_servicer: health.aio.HealthServicer, limits: ServerLimits
) -> grpc.aio.Server:
    """Build a server that serves `services` under the contract's policy and rules."""
    names = served_names(services)
    interceptor = ServingInterceptor(serving, load_policy(names), _validator(names), limits.max_request_bytes)
    server = grpc.aio.server(
        interceptors=[interceptor],
        options=limits.options(),
        maximum_concurrent_rpcs=limits.max_concurrent_calls,
    )
    for service in services:
        service.register(service.servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection(names, server)
    return server


@functools.cache
def _validator(names: tuple[str, ...]) -> Validator:
    """Compile the rules of the services' requests at start-up, so that no call has to wait for it."""
    validator = Validator()
    for kind in request_types(names):
        validator.collect_violations(kind())
    return validator
