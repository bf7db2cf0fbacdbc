"""Ports that are reserved now and bound by a child process later."""

import socket

import pytest

from libs.embedded import (
    EngineError,
    free_port,
    is_free,
)
from libs.embedded import ports as module


def test_server_can_listen_on_a_reserved_port() -> None:
    port = free_port()
    for _ in range(2):  # a second time, as after a crash
        with (
            socket.create_server(("127.0.0.1", port)) as server,
            socket.create_connection(("127.0.0.1", port), timeout=5) as client,
        ):
            accepted, address = server.accept()
            with accepted:
                assert address == client.getsockname()


def test_reserved_port_cannot_be_bound_by_others() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    assert is_free(port)  # for the child that it is reserved for


def test_port_is_reserved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    monkeypatch.setattr(module, "_FIRST", first)
    monkeypatch.setattr(module, "_LAST", first)
    with pytest.raises(EngineError, match="no free port"):
        free_port()


def test_port_in_use_is_not_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        monkeypatch.setattr(module, "_FIRST", port)
        monkeypatch.setattr(module, "_LAST", port)
        with pytest.raises(EngineError, match="no free port"):
            free_port()
