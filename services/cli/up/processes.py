"""Describes the services as child processes: command lines, environments and readiness checks."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from libs.embedded import ChildSpec, free_port
from services.cli.checks import grpc_serves, http_ok
from services.cli.defaults import LOOPBACK
from services.cli.home import SOURCE_ROOT, Home
from services.cli.up.embedded import Engines
from services.cli.up.settings import Addresses

_READY_SECONDS = 60.0  # the imports take seconds on a busy machine


@dataclass(frozen=True)
class Services:
    """The processes in the order of their start, and the host:port of each one's metrics."""

    specs: Sequence[ChildSpec]
    metrics: Mapping[str, str]


def describe_services(addresses: Addresses, engines: Engines, home: Home, runners: int) -> Services:
    """Return the services with `runners` runners, and choose all ports."""
    shared = _shared_environment(addresses, engines, home)
    metrics: dict[str, str] = {}

    def measured(name: str) -> dict[str, str]:
        port = free_port(LOOPBACK, but_not=addresses.ports)
        metrics[name] = f"{LOOPBACK}:{port}"
        return {**shared, "CALLBOARD_METRICS_PORT": str(port)}

    specs = [
        _service("session", ["services.session"], measured("session"), partial(grpc_serves, addresses.session)),
        _service("command", ["services.command"], measured("command"), partial(grpc_serves, addresses.command)),
    ]
    for number in range(1, runners + 1):
        name = f"runner-{number}"
        environment = measured(name)
        healthy = partial(http_ok, metrics[name], "/healthz")
        specs.append(_service(name, ["services.runner"], environment, healthy))
    metrics["gateway"] = addresses.gateway
    ready = partial(http_ok, addresses.gateway, "/readyz")
    return Services([*specs, _service("gateway", ["services.gateway"], shared, ready)], metrics)


def _service(
    name: str, module: list[str], environment: Mapping[str, str], ready: Callable[[], Awaitable[bool]]
) -> ChildSpec:
    return ChildSpec(
        name=name,
        argv=[sys.executable, "-m", *module],
        environment=environment,
        cwd=SOURCE_ROOT,
        ready=ready,
        ready_seconds=_READY_SECONDS,
    )


def _shared_environment(addresses: Addresses, engines: Engines, home: Home) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": engines.database_url,
        "NATS_URL": engines.nats_url,
        "CALLBOARD_HOME": str(home.path),
        "CALLBOARD_HOST": addresses.host,
        "CALLBOARD_HTTP_PORT": str(addresses.http_port),
        "CALLBOARD_SESSION_PORT": str(addresses.session_port),
        "CALLBOARD_COMMAND_PORT": str(addresses.command_port),
        "CALLBOARD_SESSION_ADDRESS": addresses.session,
        "CALLBOARD_COMMAND_ADDRESS": addresses.command,
        "CALLBOARD_SERVERS_FILE": str(home.servers),
    }
