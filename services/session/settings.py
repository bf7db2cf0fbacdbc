"""The session service's settings, read once from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SessionSettings(BaseSettings):
    """The settings. The repr masks secrets."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_", extra="ignore")

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    nats_url: SecretStr = Field(validation_alias="NATS_URL")
    host: str = "127.0.0.1"
    session_port: int = Field(default=7401, ge=0, le=65535)
    metrics_port: int = Field(default=0, ge=0, le=65535)
    servers_file: Path | None = None
    database_connections: int = Field(default=8, ge=2, le=500)
    log_level: str = "info"
