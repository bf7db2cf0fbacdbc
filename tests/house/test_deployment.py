"""The container files agree with `up`. They are parsed and not run."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.embedded import ChildSpec
from libs.server_registry import ServerRegistryFile
from services.cli.home import Home
from services.cli.up.embedded import Engines
from services.cli.up.processes import describe_services
from services.cli.up.settings import Addresses

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("callboard")}
PROCESSES = {"session": "session", "command": "command", "runner": "runner-1", "gateway": "gateway"}
OF_CONTAINERS = {"command": {"NATS_MONITOR_URL"}}
"""What `up` does not give: it writes the broker's configuration itself, and need not ask for it."""
TEXT = (ROOT / "docker-compose.yml").read_text()


def _spec_in_up(name: str) -> ChildSpec:
    services = describe_services(Addresses("127.0.0.1", 1, 2, 3), Engines("", "", ""), Home(Path("/home")), 1)
    [spec] = [spec for spec in services.specs if spec.name == name]
    return spec


def _environment_in_up(name: str) -> set[str]:
    """The variables that `up` sets for the process, beyond its own environment."""
    spec = _spec_in_up(name)
    return {variable for variable in spec.environment if variable not in os.environ} - {"PYTHONUNBUFFERED"}


def test_compose_file_has_every_process() -> None:
    assert SERVICES.keys() == {"postgres", "nats", "migrate", *PROCESSES}


@pytest.mark.parametrize("name", PROCESSES)
def test_container_runs_the_module_that_up_runs(name: str) -> None:
    in_up = list(_spec_in_up(PROCESSES[name]).argv)
    assert in_up[in_up.index("-m") :] == OURS[name]["command"][1:]


@pytest.mark.parametrize("name", PROCESSES)
def test_services_get_the_same_variables_as_from_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("CALLBOARD_") or variable in {"DATABASE_URL", "NATS_URL"}:
            monkeypatch.delenv(variable)
    assert set(OURS[name]["environment"]) == _environment_in_up(PROCESSES[name]) | OF_CONTAINERS.get(name, set())


def test_ports_and_addresses_agree() -> None:
    for name in ("session", "command"):
        environment = OURS[name]["environment"]
        port = environment[f"CALLBOARD_{name.upper()}_PORT"]
        assert OURS["gateway"]["environment"][f"CALLBOARD_{name.upper()}_ADDRESS"] == f"{name}:{port}"
        assert OURS[name]["healthcheck"]["test"][-1] == f"127.0.0.1:{port}"
    runner = OURS["runner"]
    assert runner["healthcheck"]["test"][-2:] == [
        f"127.0.0.1:{runner['environment']['CALLBOARD_METRICS_PORT']}",
        "/healthz",
    ]


def test_only_the_gateway_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"gateway"}
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name == "migrate" or "healthcheck" in service
    assert name == "nats" or service["user"] in {"postgres", "10001:10001"}


def test_no_secret_has_a_default() -> None:
    secrets = re.findall(r"\$\{([A-Z_]*PASSWORD)([^}]*)\}", TEXT)
    assert {name for name, _ in secrets} == {"POSTGRES_PASSWORD", "CALLBOARD_APP_PASSWORD", "NATS_PASSWORD"}
    assert all(rest.startswith(":?") for _, rest in secrets)


def test_services_log_in_as_the_unprivileged_role() -> None:
    for name in PROCESSES:
        assert OURS[name]["environment"]["DATABASE_URL"].startswith("postgresql://callboard_app:")
    assert "create role callboard_app login noinherit" in (ROOT / "deploy" / "postgres-init.sh").read_text()


def test_broker_syncs_always_and_requires_a_password() -> None:
    program = ROOT / ".venv" / "bin" / "nats-server"
    text = (ROOT / "deploy" / "nats.conf").read_text()
    assert "sync_interval: always" in text
    assert "$NATS_PASSWORD" in text
    if program.exists():
        subprocess.run(
            [program, "-t", "-c", ROOT / "deploy" / "nats.conf"],
            env={"NATS_PASSWORD": "x"},
            check=True,
            timeout=10,
        )


def test_server_registry_is_valid() -> None:
    server_registry = ServerRegistryFile(ROOT / "deploy" / "servers.toml").current()
    assert server_registry.names() == ("time", "trial")


def test_image_runs_as_an_unprivileged_user() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER 10001:10001" in lines
