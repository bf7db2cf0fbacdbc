"""Settings of the failpoints, read once from the environment."""

import math
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from libs.failpoints.rules import Rule, read_rules


class FailpointSettings(BaseSettings):
    """Without rules, no failpoint does anything."""

    model_config = SettingsConfigDict(extra="ignore")

    rules: Annotated[tuple[Rule, ...], NoDecode, BeforeValidator(read_rules)] = Field(
        default=(), validate_default=False, validation_alias="CALLBOARD_FAILPOINTS"
    )
    seed: int = Field(default=0, validation_alias="CALLBOARD_FAILPOINTS_SEED")
    until: float = Field(default=math.inf, validation_alias="CALLBOARD_FAILPOINTS_UNTIL")
    """Time on the machine's monotonic clock, in seconds, after which failpoints do nothing."""
    log: Path | None = Field(default=None, validation_alias="CALLBOARD_FAILPOINTS_LOG")
    """File that gets a line of JSON before each action."""
