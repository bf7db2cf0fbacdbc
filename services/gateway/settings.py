"""The gateway's settings, read once from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class GatewaySettings(BaseSettings):
    """The settings. They hold no secrets, because callers' keys only pass through. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_", extra="ignore")

    host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    session_address: str = "127.0.0.1:7401"
    command_address: str = "127.0.0.1:7402"
    log_level: str = "info"
    call_timeout: float = Field(default=30.0, gt=0, le=600, description="The timeout of a call to a service.")
    keepalive: float = Field(default=15.0, gt=0, le=300, description="The longest silence on a stream of events.")
    write_deadline: float = Field(
        default=30.0, gt=0, le=600, description="How long a stream's client may stop reading."
    )
    most_streams: int = Field(
        default=5000, ge=1, le=100_000, description="The most streams of events that are open at once."
    )
    drain: float = Field(default=3.0, ge=0, le=600, description="How long requests may continue after SIGTERM.")
