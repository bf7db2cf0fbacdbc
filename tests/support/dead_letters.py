"""Creates dead letters, and the calls on them that tests make."""

from typing import Any

import orjson

from callboard.commands.v1.commands_pb2 import (
    AcceptedCommand,
    BulkSubmitCommandsRequest,
    CommandSpec,
    DeadLetterFilter,
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    PurgeDeadLettersRequest,
    PurgeDeadLettersResponse,
    RequeueDeadLetterRequest,
    RequeueDeadLettersRequest,
    RequeueDeadLettersResponse,
)
from callboard.errors.v1 import errors_pb2
from libs.rpc.stubs import Stubs
from tests.support.client_calls import ended, submit
from tests.support.eventually import eventually


async def make_dead_letter(client: Stubs, agent_id: str = "clock", **params: Any) -> str:
    """Creates a dead letter and returns its id."""
    accepted = await submit(client, "fail", {"retryable": False, **params}, agent_id=agent_id)
    await ended(client, accepted.command_id)
    return accepted.command_id


async def make_dead_letters(client: Stubs, count: int, agent_id: str = "clock", **params: Any) -> list[str]:
    """Creates `count` dead letters and returns their ids, the oldest first."""
    text = orjson.dumps({"retryable": False, **params}).decode()
    spec = CommandSpec(agent_id=agent_id, type="fail", params_json=text)
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=[spec] * count))
    made = {result.command.command_id for result in answer.results}

    async def all_dead() -> list[str]:
        dead = [one for one in await listed(client, page_size=500) if one in made]
        return dead[::-1] if len(dead) == count else []

    return await eventually(all_dead, 30)


async def listed(client: Stubs, **fields: Any) -> list[str]:
    """The ids of a page of dead letters, newest first."""
    page = await client.dead_letters.ListDeadLetters(ListDeadLettersRequest(**fields))
    return [one.command.command_id for one in page.dead_letters]


async def requeue(client: Stubs, command_id: str, request_id: str = "", **changes: Any) -> AcceptedCommand:
    """Requeues one dead letter."""
    request = RequeueDeadLetterRequest(command_id=command_id, request_id=request_id, **changes)
    return (await client.dead_letters.RequeueDeadLetter(request)).command


async def requeue_many(client: Stubs, **fields: Any) -> RequeueDeadLettersResponse:
    """Requeues several dead letters; `filter` can be a dictionary."""
    return await client.dead_letters.RequeueDeadLetters(RequeueDeadLettersRequest(**_filtered(fields)))


async def purge_many(client: Stubs, **fields: Any) -> PurgeDeadLettersResponse:
    """Purges several dead letters; `filter` can be a dictionary."""
    return await client.dead_letters.PurgeDeadLetters(PurgeDeadLettersRequest(**_filtered(fields)))


def outcomes(response: Any) -> list[str]:
    """`ok` or the name of the error's reason for each result."""
    return [
        errors_pb2.ErrorReason.Name(one.refusal.reason).removeprefix("ERROR_REASON_")
        if one.HasField("refusal")
        else "ok"
        for one in response.results
    ]


async def successor(client: Stubs, command_id: str) -> str:
    """The id of the command that a requeue created; empty if there was no requeue."""
    response = await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=command_id))
    return response.dead_letter.requeued_as


def _filtered(fields: dict[str, Any]) -> dict[str, Any]:
    given = fields.get("filter")
    return {**fields, "filter": DeadLetterFilter(**given)} if isinstance(given, dict) else fields
