"""What all REST shapes have in common: strict, camelCase, and closed to fields that they do not know."""

from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel

from services.gateway.models.values import read_moment, read_nanoseconds, read_whole_number


class Body(BaseModel):
    """What a caller sends as JSON."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)


class Query(BaseModel):
    """What a caller sends in the query of a URL, where everything is text."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Shape(BaseModel):
    """What Callboard answers: every key is always present, and null when there is no value."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", json_schema_serialization_defaults_required=True
    )


class Empty(Body):
    """An object without fields; the body may be left out."""


COMMAND_ID_PATTERN = r"^[!-~]{1,128}$"
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Id = Annotated[str, Field(pattern=ID_PATTERN)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
OwnerId = Annotated[str, Field(pattern=r"^[!-~]{0,128}$")]
CorrelationId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@/+=-]{0,128}$")]
CommandType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
EventType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?$")]
CommandId = Annotated[str, Field(pattern=COMMAND_ID_PATTERN)]
PageSize = Annotated[int, BeforeValidator(read_whole_number), Field(ge=1, le=500)]
PageToken = Annotated[str, Field(max_length=1024)]
Labels = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")], Annotated[str, Field(max_length=256)]],
    Field(max_length=64),
]
JsonObject = dict[str, Any]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Seconds = Annotated[
    int,
    PlainValidator(read_nanoseconds),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d{1,9}(\.\d{1,9})?s$"}],
            "description": "A span: a number of seconds, or a text such as `30s`.",
        }
    ),
]
"""A span of time, held as nanoseconds."""
Moment = Annotated[int, PlainValidator(read_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A point in time, held as nanoseconds since the epoch."""

Level = Literal["info", "warn", "error", "audit"]
SessionTypeName = Literal["metrics", "policy", "simulation", "audit", "custom"]
SessionStateName = Literal["init", "running", "paused", "stopping", "completed", "failed", "timeout", "stopped"]
CommandStateName = Literal["scheduled", "queued", "running", "retrying", "waiting", "succeeded", "failed", "cancelled"]
PriorityName = Literal["high", "normal", "low"]


def list_parameters(model: type[Query]) -> dict[str, bool]:
    """Return a query's parameters that take many values, and whether a comma separates those of each."""
    return {
        field.alias or name: name != "label"  # a label's value may hold commas
        for name, field in model.model_fields.items()
        if any(get_origin(kind) is list for kind in get_args(field.annotation))
    }


class Page(Query):
    """Which page of a list."""

    page_size: PageSize | None = Field(default=None, description="How many to return at most; 50 when not given.")
    page_token: PageToken | None = Field(default=None, description="`nextPageToken` of the page before.")
