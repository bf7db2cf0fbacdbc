"""Ports that are chosen now and bound by a child later."""

import socket

import pytest

from libs.embedded import (
    EngineError,
    free_port,
    is_free,
)
from libs.embedded import ports as module


def test_a_server_can_listen_on_a_port_that_is_kept_and_be_reached_there() -> None:
    port = free_port()
    for _ in range(2):  # again after a crash
        with (
            socket.create_server(("127.0.0.1", port)) as server,
            socket.create_connection(("127.0.0.1", port), timeout=5) as client,
        ):
            accepted, address = server.accept()
            with accepted:
                assert address == client.getsockname()


def test_nobody_is_given_a_port_that_is_kept() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    assert is_free(port)  # for the child that it is kept for


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    monkeypatch.setattr(module, "_FIRST", first)
    monkeypatch.setattr(module, "_LAST", first)
    with pytest.raises(EngineError, match="no free port"):
        free_port()


def test_a_port_that_is_listened_on_is_neither_free_nor_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        monkeypatch.setattr(module, "_FIRST", port)
        monkeypatch.setattr(module, "_LAST", port)
        with pytest.raises(EngineError, match="no free port"):
            free_port()
