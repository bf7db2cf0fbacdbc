"""The runner's settings, read once from the environment."""

import socket
from pathlib import Path

from pydantic import Field

from libs.runtime.settings import RuntimeSettings


class RunnerSettings(RuntimeSettings):
    """The settings of one runner. Durations are in seconds."""

    lease: float = Field(default=6.0, ge=0.5, le=300)
    servers_file: Path
    runner_name: str = Field(default_factory=socket.gethostname)
    runner_slots: int = Field(default=256, ge=1, le=10_000)
    runner_connections: int = Field(default=2000, ge=1, le=100_000)
    heartbeat: float = Field(default=2.0, ge=0.1, le=60)
    drain: float = Field(default=10.0, ge=0, le=3600)
