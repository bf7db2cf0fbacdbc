"""The runner's settings, read once from the environment."""

import socket
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RunnerSettings(BaseSettings):
    """Settings of one runner. Durations are in seconds. The repr masks secrets."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_", extra="ignore")

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    nats_url: SecretStr = Field(validation_alias="NATS_URL")
    host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    database_connections: int = Field(default=8, ge=2, le=500)
    lease: float = Field(default=6.0, ge=0.5, le=300)
    log_level: str = "info"

    servers_file: Path
    runner_name: str = Field(default_factory=socket.gethostname)
    runner_slots: int = Field(default=256, ge=1, le=10_000)
    runner_connections: int = Field(default=2000, ge=1, le=100_000)
    heartbeat: float = Field(default=2.0, ge=0.1, le=60)
    drain: float = Field(default=10.0, ge=0, le=3600)
