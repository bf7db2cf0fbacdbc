"""The plan and the results of a requeue of many, as values and as the text that is stored under its key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from libs.errors import Reason, ServiceError
from services.command.commands.model import SubmitCode, Submitted
from services.command.dead_letters.model import Plan


@dataclass(frozen=True, slots=True)
class Requeued:
    """The result for one dead letter: a command or an error; neither for one that a dry run would requeue."""

    given: str
    command: Submitted | None = None
    error: ServiceError | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a requeue of many, or of a dry run of one."""

    plan: Plan
    results: Sequence[Requeued]
    matched: int | None = None


def write_plan(plan: Plan) -> str:
    """Write a plan as text."""
    return orjson.dumps({"ids": plan.ids, "more": plan.more, "keyset": plan.keyset}).decode()


def read_plan(text: str) -> Plan:
    """Read what `write_plan` wrote."""
    value = orjson.loads(text)
    return Plan(tuple(value["ids"]), value["more"], value["keyset"])


def write_requeued(results: Sequence[Requeued]) -> str:
    """Write results as text."""
    return orjson.dumps([_result(one) for one in results]).decode()


def read_requeued(text: str) -> list[Requeued]:
    """Read what `write_requeued` wrote."""
    return [_read_result(value) for value in orjson.loads(text)]


def _result(one: Requeued) -> dict[str, Any]:
    if one.error is not None:
        error = one.error
        return {"id": one.given, "refusal": [error.reason.value, error.message, error.metadata]}
    return {"id": one.given, "command": one.command}


def _read_result(value: Mapping[str, Any]) -> Requeued:
    if "refusal" in value:
        reason, message, metadata = value["refusal"]
        return Requeued(value["id"], error=ServiceError(Reason(reason), message, metadata=metadata))
    command = dict(value["command"])
    command["code"] = SubmitCode(command["code"])
    command["command_id"] = UUID(command["command_id"])
    command["enqueued_at"] = datetime.fromisoformat(command["enqueued_at"])
    return Requeued(value["id"], command=Submitted(**command))
