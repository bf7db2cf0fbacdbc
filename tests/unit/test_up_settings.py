"""What `up` reads from its environment, and which values it rejects, naming the variable."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.errors import SettingError
from services.cli.up.settings import Addresses, UpSettings

_ANY = {"CALLBOARD_HTTP_PORT": "0", "CALLBOARD_SESSION_PORT": "0", "CALLBOARD_COMMAND_PORT": "0"}
_VARIABLES = tuple(_ANY)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_empty_environment_gives_the_documented_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = UpSettings.from_environment({})
    assert settings.home == tmp_path / ".callboard"
    assert settings.host == "127.0.0.1"
    assert tuple(settings.ports.values()) == (8080, 7401, 7402)
    assert settings.database_url is None
    assert settings.nats_url is None


@pytest.mark.parametrize("variable", _VARIABLES)
@pytest.mark.parametrize("text", ["http", "-1", "65536", "1.5", "1_0", "+80", "٣", "99999999999999999999"])
def test_invalid_port_is_rejected_naming_the_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{variable}: "):
        UpSettings.from_environment({variable: text})


@pytest.mark.parametrize("variable", _VARIABLES)
def test_port_in_use_is_rejected_naming_the_variable(variable: str, taken_port: int) -> None:
    settings = UpSettings.from_environment({**_ANY, variable: str(taken_port)})
    with pytest.raises(SettingError, match=f"^{variable}: port {taken_port} is taken"):
        Addresses.claim(settings)


def test_port_in_use_on_every_address_is_rejected() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - closed at once
        settings = UpSettings.from_environment({**_ANY, "CALLBOARD_HTTP_PORT": str(server.getsockname()[1])})
        with pytest.raises(SettingError, match="CALLBOARD_HTTP_PORT"):
            Addresses.claim(settings)


def test_two_variables_with_one_port_are_rejected() -> None:
    settings = UpSettings.from_environment({**_ANY, "CALLBOARD_HTTP_PORT": "19999", "CALLBOARD_COMMAND_PORT": "19999"})
    with pytest.raises(SettingError, match=r"^CALLBOARD_COMMAND_PORT: port 19999 is also set by CALLBOARD_HTTP_PORT"):
        Addresses.claim(settings)


def test_zero_means_any_free_port() -> None:
    addresses = Addresses.claim(UpSettings.from_environment(_ANY))
    assert len(addresses.ports) == 3
    assert 0 not in addresses.ports
    assert addresses.http == f"http://127.0.0.1:{addresses.http_port}"


def test_configured_port_is_used_beside_chosen_ones() -> None:
    addresses = Addresses.claim(UpSettings.from_environment({**_ANY, "CALLBOARD_COMMAND_PORT": "19998"}))
    assert addresses.command_port == 19998


def test_clients_of_a_server_on_every_address_use_loopback() -> None:
    assert Addresses("0.0.0.0", 1, 2, 3).session == "127.0.0.1:2"  # noqa: S104 - only text
    assert Addresses("::", 1, 2, 3).session == "[::1]:2"


@pytest.mark.parametrize(
    ("variable", "url"),
    [("DATABASE_URL", "mysql://u:secret@h/d"), ("NATS_URL", "secret"), ("NATS_URL", "http://x")],
)
def test_address_of_another_scheme_is_rejected_without_printing_it(variable: str, url: str) -> None:
    with pytest.raises(SettingError, match=f"^{variable}: ") as refused:
        UpSettings.from_environment({variable: url})
    assert "secret" not in str(refused.value)


def test_passwords_are_not_shown() -> None:
    urls = {"DATABASE_URL": "postgresql://u:secret@h/d", "NATS_URL": "nats://u:secret@h"}
    assert "secret" not in repr(UpSettings.from_environment(urls))
