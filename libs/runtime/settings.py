"""The settings that every service with a database reads."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RuntimeSettings(BaseSettings):
    """The settings of a `Runtime`. A service adds its own. The repr masks secrets. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_", extra="ignore")

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    nats_url: SecretStr = Field(validation_alias="NATS_URL")
    host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    database_connections: int = Field(default=8, ge=2, le=500)
    log_level: str = "info"
