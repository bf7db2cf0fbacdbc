"""One entry of the catalogue, and the rules that each of its keys obeys."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Each of these makes the loader or the interpreter of a server run code that the command line does not show.
_DENIED_PREFIXES = ("LD_", "DYLD_", "PYTHON", "CALLBOARD_")
_DENIED_VARIABLES = frozenset({"BASH_ENV", "ENV", "NODE_OPTIONS", "PATH", "PERL5OPT", "RUBYOPT"})


def _plain(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _absolute(path: str) -> str:
    if not PurePosixPath(_plain(path)).is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _allowed_environment(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"the variable name {name!r} must match {_VARIABLE.pattern}")
        if name.upper().startswith(_DENIED_PREFIXES) or name.upper() in _DENIED_VARIABLES:
            raise ValueError(f"the variable {name} is denied: it changes what the command runs")
        if "\x00" in value:
            raise ValueError(f"the value of {name} must not hold a NUL character")
    return env


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or a password")
    return url


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Limits(_Strict):
    """Resource limits of a stdio server's process (`setrlimit`); those left out are inherited."""

    memory_mib: int | None = Field(default=None, ge=16)
    """Address space, in MiB. Runtimes that reserve much and use little (node, Go) need a large number."""
    cpu_seconds: int | None = Field(default=None, ge=1)
    """Processor time over the whole life of the process, in seconds."""
    open_files: int | None = Field(default=None, ge=16)
    """Open file descriptors."""
    file_mib: int | None = Field(default=None, ge=1)
    """Size of any one file that it writes, in MiB."""


class _Common(_Strict):
    name: str
    startup_timeout: float = Field(default=30.0, gt=0, le=600, strict=False)
    """Seconds from the start of the connection until the tools are listed."""


class StdioEntry(_Common):
    """A server that the runner starts as a process of its own and talks to over stdin and stdout."""

    transport: Literal["stdio"]
    command: AbsolutePath
    args: tuple[Annotated[str, AfterValidator(_plain)], ...] = Field(default=(), strict=False)
    env: Annotated[dict[str, str], AfterValidator(_allowed_environment)] = {}
    """All that the server sees of an environment, beside a fixed PATH, LANG and HOME."""
    cwd: AbsolutePath | None = None
    """Where it runs; a private directory that goes with the connection, when left out."""
    limits: Limits = Limits()
    cancel: Literal["ask", "kill"] = "ask"
    """What a cancel of a running command does: ask the server, which says nothing of heeding it, or end it too."""


class HttpEntry(_Common):
    """A server that runs elsewhere and speaks streamable HTTP."""

    transport: Literal["http"]
    url: Annotated[str, AfterValidator(_http_url)]


Entry = StdioEntry | HttpEntry
