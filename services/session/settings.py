"""The session service's settings, read once from the environment."""

from pathlib import Path

from pydantic import Field

from libs.runtime.settings import RuntimeSettings


class SessionSettings(RuntimeSettings):
    """The settings of the session service."""

    session_port: int = Field(default=7401, ge=0, le=65535)
    servers_file: Path | None = None
