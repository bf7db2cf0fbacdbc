"""The failpoints' settings, read once from the environment."""

import math
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from libs.failpoints.rules import Rule, read_rules


class FailpointSettings(BaseSettings):
    """Without rules nothing is armed."""

    model_config = SettingsConfigDict(extra="ignore")

    rules: Annotated[tuple[Rule, ...], NoDecode, BeforeValidator(read_rules)] = Field(
        default=(), validate_default=False, validation_alias="CALLBOARD_FAILPOINTS"
    )
    seed: int = Field(default=0, validation_alias="CALLBOARD_FAILPOINTS_SEED")
    until: float = Field(default=math.inf, validation_alias="CALLBOARD_FAILPOINTS_UNTIL")
    """Seconds of the machine's monotonic clock; later than that nothing happens any more."""
    log: Path | None = Field(default=None, validation_alias="CALLBOARD_FAILPOINTS_LOG")
    """Gets a line of JSON for each thing that is about to happen."""
