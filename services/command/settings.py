"""The command service's settings, read once from the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class CommandSettings(BaseSettings):
    """The settings. The repr masks secrets. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_", extra="ignore")

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    nats_url: SecretStr = Field(validation_alias="NATS_URL")
    nats_monitor_url: str = Field(default="", validation_alias="NATS_MONITOR_URL")
    host: str = "127.0.0.1"
    command_port: int = Field(default=7402, ge=0, le=65535)
    metrics_port: int = Field(default=0, ge=0, le=65535)
    database_connections: int = Field(default=8, ge=2, le=500)
    lease: float = Field(default=6.0, ge=0.5, le=300)
    log_level: str = "info"
