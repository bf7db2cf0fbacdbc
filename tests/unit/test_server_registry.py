"""The server registry: which files are accepted, how invalid ones are rejected, and how edits take effect."""

import os
from pathlib import Path

import pytest
import structlog

from libs.server_registry import (
    HttpEntry,
    ProcessLimits,
    ServerRegistry,
    ServerRegistryError,
    ServerRegistryFile,
    StdioEntry,
)

GOOD = """
[servers.time]
transport = "stdio"
command = "/usr/bin/time-server"
args = ["--local-timezone", "UTC"]
env = { TZ = "UTC" }
cwd = "/srv"
startup_timeout = 5
limits = { memory_mib = 512, open_files = 64 }

[servers.web-search]
transport = "http"
url = "https://mcp.example.org/mcp"
"""


def write(path: Path, text: str) -> Path:
    """Write `text` with a new modification time, independently of the file system's clock."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "servers.toml"


def test_valid_file_is_parsed_into_entries(file: Path) -> None:
    server_registry = ServerRegistry.load(write(file, GOOD))
    assert server_registry.names() == ("time", "web-search")
    assert server_registry.get("time") == StdioEntry(
        name="time",
        transport="stdio",
        command="/usr/bin/time-server",
        args=("--local-timezone", "UTC"),
        env={"TZ": "UTC"},
        cwd="/srv",
        startup_timeout=5.0,
        limits=ProcessLimits(memory_mib=512, open_files=64),
    )
    assert server_registry.get("web-search") == HttpEntry(
        name="web-search", transport="http", url="https://mcp.example.org/mcp", startup_timeout=30.0
    )
    assert server_registry.get("absent") is None


def test_empty_file_is_an_empty_registry(file: Path) -> None:
    assert ServerRegistry.load(write(file, "")).names() == ()


STDIO = 'transport = "stdio"\ncommand = "/bin/server"\n'
HTTP = 'transport = "http"\nurl = "http://127.0.0.1:1/mcp"\n'


@pytest.mark.parametrize(
    ("table", "key", "rule"),
    [
        (STDIO + "shell = true", "shell", "unknown key"),
        (STDIO + 'name = "other"', "name", "unknown key"),
        (STDIO + 'url = "http://127.0.0.1/"', "url", "unknown key for a server with transport 'stdio'"),
        (HTTP + 'command = "/bin/server"', "command", "unknown key for a server with transport 'http'"),
        (HTTP + "env = {}", "env", "unknown key"),
        ('transport = "stdio"', "command", "required"),
        ('transport = "http"', "url", "required"),
        ('command = "/bin/server"', "transport", '"stdio" or "http"'),
        ('transport = "sse"', "transport", '"stdio" or "http"'),
        ("transport = 1", "transport", '"stdio" or "http"'),
        ('transport = "stdio"\ncommand = "npx"', "command", "absolute"),
        ('transport = "stdio"\ncommand = "./server"', "command", "absolute"),
        ('transport = "stdio"\ncommand = "/bin/a\\u0000b"', "command", "NUL"),
        (STDIO + 'cwd = "data"', "cwd", "absolute"),
        (STDIO + 'args = "one string"', "args", "tuple"),
        (STDIO + "args = [1]", "args.0", "string"),
        (STDIO + 'args = ["a\\u0000"]', "args.0", "NUL"),
        (STDIO + 'env = { LD_PRELOAD = "x" }', "env", "LD_PRELOAD is denied"),
        (STDIO + 'env = { LD_LIBRARY_PATH = "x" }', "env", "denied"),
        (STDIO + 'env = { PYTHONPATH = "x" }', "env", "PYTHONPATH is denied"),
        (STDIO + 'env = { pythonstartup = "x" }', "env", "denied"),
        (STDIO + 'env = { NODE_OPTIONS = "x" }', "env", "denied"),
        (STDIO + 'env = { PATH = "x" }', "env", "PATH is denied"),
        (STDIO + 'env = { "A B" = "x" }', "env", "must match"),
        (STDIO + 'env = { A = "\\u0000" }', "env", "NUL"),
        (STDIO + "env = { A = 1 }", "env.A", "string"),
        (STDIO + "startup_timeout = 0", "startup_timeout", "greater than 0"),
        (STDIO + "limits = { memory = 1 }", "limits.memory", "unknown key"),
        (STDIO + "limits = { open_files = 1 }", "limits.open_files", "16"),
        (STDIO + 'cancel = "hope"', "cancel", "'ask' or 'kill'"),
        (HTTP + 'cancel = "kill"', "cancel", "unknown key"),
        ('transport = "http"\nurl = "file:///etc/passwd"', "url", "http or https"),
        ('transport = "http"\nurl = "mcp.example.org"', "url", "http or https"),
        ('transport = "http"\nurl = "http://"', "url", "host"),
        ('transport = "http"\nurl = "http://[::1"', "url", "IPv6"),
        ('transport = "http"\nurl = "https://user:secret@host/"', "url", "password"),
    ],
)
def test_error_names_file_entry_key_and_rule(file: Path, table: str, key: str, rule: str) -> None:
    write(file, f"[servers.one]\n{table}\n")
    with pytest.raises(ServerRegistryError) as caught:
        ServerRegistry.load(file)
    assert (caught.value.file, caught.value.entry, caught.value.key) == (str(file), "one", key)
    assert rule in caught.value.rule
    assert str(caught.value).startswith(f"{file}: servers.one.{key}: ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["Time", "-time", "a_b", "a" * 64, "a/b", "", "time\\n"])
def test_invalid_server_name_is_rejected(file: Path, name: str) -> None:
    write(file, f'[servers."{name}"]\n{STDIO}')
    with pytest.raises(ServerRegistryError, match="the name must match"):
        ServerRegistry.load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[servers", "is not TOML"),
        ("[server.one]\n" + STDIO, "server: is an unknown key"),
        ("servers = 1", "must be a table"),
        ("[servers]\none = 1", "servers.one: must be a table"),
    ],
)
def test_malformed_file_is_rejected(file: Path, text: str, message: str) -> None:
    with pytest.raises(ServerRegistryError, match=message):
        ServerRegistry.load(write(file, text))


def test_missing_file_is_rejected(file: Path) -> None:
    with pytest.raises(ServerRegistryError, match="cannot be read: No such file"):
        ServerRegistry.load(file)
    with pytest.raises(ServerRegistryError):
        ServerRegistryFile(file)


def test_changed_file_is_reloaded(file: Path) -> None:
    server_registry = ServerRegistryFile(write(file, ""))
    assert server_registry.current().names() == ()
    write(file, GOOD)
    assert server_registry.current().names() == ("time", "web-search")


def test_unchanged_file_is_not_reloaded(file: Path) -> None:
    server_registry = ServerRegistryFile(write(file, GOOD))
    assert server_registry.current() is server_registry.current()


def test_invalid_edit_keeps_the_last_valid_registry_and_is_logged_once(file: Path) -> None:
    server_registry = ServerRegistryFile(write(file, GOOD))
    write(file, "[servers")
    with structlog.testing.capture_logs() as logs:
        assert server_registry.current().names() == server_registry.current().names() == ("time", "web-search")
    assert [(line["log_level"], line["event"]) for line in logs] == [("error", "server_registry_rejected")]
    assert str(file) in logs[0]["error"]
    write(file, "[servers.new]\n" + HTTP)
    assert server_registry.current().names() == ("new",)


def test_deleted_file_keeps_the_last_valid_registry(file: Path) -> None:
    server_registry = ServerRegistryFile(write(file, GOOD))
    file.unlink()
    assert server_registry.current().names() == ("time", "web-search")
    write(file, "[servers.new]\n" + HTTP)
    assert server_registry.current().names() == ("new",)
