"""One entry of the server registry, and the rules for its keys."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Each of these can make a loader or an interpreter run code that the command line does not show.
_DENIED_PREFIXES = ("LD_", "DYLD_", "PYTHON", "CALLBOARD_")
_DENIED_VARIABLES = frozenset({"BASH_ENV", "ENV", "NODE_OPTIONS", "PATH", "PERL5OPT", "RUBYOPT"})


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _absolute(path: str) -> str:
    if not PurePosixPath(_without_nul(path)).is_absolute():
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


class ProcessLimits(_Strict):
    """Resource limits of a stdio server's process (`setrlimit`). Missing limits are inherited."""

    memory_mib: int | None = Field(default=None, ge=16)
    """Address space in MiB. Runtimes that reserve much and use little (Node, Go) need a large value."""
    cpu_seconds: int | None = Field(default=None, ge=1)
    """Processor time over the life of the process, in seconds."""
    open_files: int | None = Field(default=None, ge=16)
    """Open file descriptors."""
    file_mib: int | None = Field(default=None, ge=1)
    """Size of each file that the process writes, in MiB."""


class _Common(_Strict):
    name: str
    startup_timeout: float = Field(default=30.0, gt=0, le=600, strict=False)
    """The longest time from the start of the connection until the tools are listed, in seconds."""


class StdioEntry(_Common):
    """A server that the runner starts as a process and talks to over stdin and stdout."""

    transport: Literal["stdio"]
    command: AbsolutePath
    args: tuple[Annotated[str, AfterValidator(_without_nul)], ...] = Field(default=(), strict=False)
    env: Annotated[dict[str, str], AfterValidator(_allowed_environment)] = {}
    """The environment of the server, in addition to fixed values of PATH, LANG and HOME."""
    cwd: AbsolutePath | None = None
    """The working directory. By default a private directory that is deleted with the connection."""
    limits: ProcessLimits = ProcessLimits()
    cancel: Literal["ask", "kill"] = "ask"
    """What cancelling a running command does: `ask` notifies the server, which need not comply; `kill` also ends it."""


class HttpEntry(_Common):
    """A server that the runner does not start and reaches over streamable HTTP."""

    transport: Literal["http"]
    url: Annotated[str, AfterValidator(_http_url)]


Entry = StdioEntry | HttpEntry
