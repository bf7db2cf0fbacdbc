"""The command service's settings, read once from the environment."""

from pydantic import Field

from libs.runtime.settings import RuntimeSettings


class CommandSettings(RuntimeSettings):
    """The settings of the command service. Durations are in seconds."""

    nats_monitor_url: str = Field(default="", validation_alias="NATS_MONITOR_URL")
    command_port: int = Field(default=7402, ge=0, le=65535)
    lease: float = Field(default=6.0, ge=0.5, le=300)
