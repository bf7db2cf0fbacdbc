"""The settings of `callboard up`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from libs.embedded.ports import free_port, is_free
from services.cli.defaults import DEFAULT_PORTS, LOOPBACK
from services.cli.errors import SettingError
from services.cli.home import home_from

_EVERY_ADDRESS = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}  # noqa: S104 - to be replaced, not bound


@dataclass(frozen=True, kw_only=True)
class UpSettings:
    """The settings. `ports` holds the port of each variable, 0 for any free port."""

    home: Path
    host: str
    ports: Mapping[str, int]
    runners: int
    database_url: str | None = field(repr=False)
    nats_url: str | None = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], runners: int = 1) -> "UpSettings":
        """Read the settings; raises SettingError for the first variable that is invalid."""
        return cls(
            home=home_from(environment),
            host=environment.get("CALLBOARD_HOST") or LOOPBACK,
            ports={variable: _port(environment, variable) for variable in DEFAULT_PORTS},
            runners=runners,
            database_url=_url(environment, "DATABASE_URL", ("postgresql", "postgres")),
            nats_url=_url(environment, "NATS_URL", ("nats", "tls")),
        )


@dataclass(frozen=True)
class Addresses:
    """The addresses at which the services listen, and those for clients on this machine."""

    host: str
    http_port: int
    session_port: int
    command_port: int

    @classmethod
    def claim(cls, settings: UpSettings) -> "Addresses":
        """Choose a port for each 0 and check the others; raises SettingError for a port in use."""
        given: dict[int, str] = {}
        for variable, port in settings.ports.items():
            if port and port in given:
                raise SettingError(variable, f"port {port} is also set by {given[port]}")
            if port and not is_free(port, settings.host):
                raise SettingError(variable, f"port {port} is taken; choose another, or 0 for any free one")
            given[port or free_port(settings.host, but_not=frozenset(settings.ports.values()))] = variable
        return cls(settings.host, *given)

    @property
    def session(self) -> str:
        """The session service's host:port."""
        return self._reached(self.session_port)

    @property
    def command(self) -> str:
        """The command service's host:port."""
        return self._reached(self.command_port)

    @property
    def http(self) -> str:
        """The gateway's URL."""
        return f"http://{self.gateway}"

    @property
    def gateway(self) -> str:
        """The gateway's host:port."""
        return self._reached(self.http_port)

    @property
    def ports(self) -> frozenset[int]:
        """All three ports."""
        return frozenset({self.http_port, self.session_port, self.command_port})

    def _reached(self, port: int) -> str:
        host = _EVERY_ADDRESS.get(self.host, self.host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _port(environment: Mapping[str, str], variable: str) -> int:
    text = environment.get(variable, "").strip() or str(DEFAULT_PORTS[variable])
    # int() alone would take "1_0", "+8080" and digits of other scripts
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise SettingError(variable, f"{text!r} is not a port: give a number from 0 (any free one) to 65535")
    return int(text)


def _url(environment: Mapping[str, str], variable: str, schemes: tuple[str, ...]) -> str | None:
    url = environment.get(variable, "").strip()
    if url and not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise SettingError(variable, f"must begin with {schemes[0]}://")  # the value may hold a password
    return url or None
