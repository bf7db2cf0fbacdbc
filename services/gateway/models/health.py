"""Health, readiness and problems."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from services.gateway.models.shape import Shape

ReadinessName = Literal["ready", "degraded", "notReady"]


class Health(Shape):
    """The gateway is alive."""

    status: Literal["ok"]


class Readiness(Shape):
    """How ready the suite is, as a whole and part by part."""

    status: ReadinessName
    parts: dict[str, ReadinessName]


class Violation(Shape):
    """A field that breaks its rule."""

    field: str
    rule: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457). What the reason has to tell besides, such as `oldestCursor`, is added."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    reason: str
    errors: list[Violation]
    instance: str
