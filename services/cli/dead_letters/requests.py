"""Calls the command service for `callboard dlq`. Each function is one subcommand and returns one response.

A subcommand may need many calls. Their responses are combined into one.
"""

from collections.abc import Iterator, Sequence

from callboard.commands.v1 import commands_pb2
from libs.contract import find_method
from services.cli.connection import ServiceConnection
from services.cli.dead_letters.options import SelectionOptions

_SECONDS = 60.0
"""How long one call may take."""
_PAGE = 500
_BATCH = 1000
_LIST, _GET, _REQUEUE, _REQUEUE_MANY, _PURGE_MANY = (
    f"callboard.commands.v1.DeadLetterService.{name}"
    for name in ("ListDeadLetters", "GetDeadLetter", "RequeueDeadLetter", "RequeueDeadLetters", "PurgeDeadLetters")
)


async def find(
    service: ServiceConnection, matching: commands_pb2.DeadLetterFilter, limit: int, token: str
) -> commands_pb2.ListDeadLettersResponse:
    """Return up to `limit` dead letters, newest first, and the token of the next page."""
    found = commands_pb2.ListDeadLettersResponse(next_page_token=token)
    while True:
        request = commands_pb2.ListDeadLettersRequest(
            page_size=min(_PAGE, limit - len(found.dead_letters)),
            page_token=found.next_page_token,
            agent_id=matching.agent_id,
            session_id=matching.session_id,
            type=matching.type,
            reasons=matching.reasons,
            dead_after=matching.dead_after if matching.HasField("dead_after") else None,
            dead_before=matching.dead_before if matching.HasField("dead_before") else None,
            requeued=matching.requeued,
            correlation_id=matching.correlation_id,
        )
        page: commands_pb2.ListDeadLettersResponse = await service.call(find_method(_LIST), request, _SECONDS)
        found.dead_letters.extend(page.dead_letters)
        found.next_page_token = page.next_page_token
        if not found.next_page_token or len(found.dead_letters) >= limit:
            return found


async def show(service: ServiceConnection, command_id: str) -> commands_pb2.GetDeadLetterResponse:
    """Return one dead letter with its attempts."""
    request = commands_pb2.GetDeadLetterRequest(command_id=command_id)
    response: commands_pb2.GetDeadLetterResponse = await service.call(find_method(_GET), request, _SECONDS)
    return response


async def requeue_one(
    service: ServiceConnection, command_id: str, params: str, options: commands_pb2.RequeueOptions, key: str
) -> commands_pb2.RequeueDeadLettersResponse:
    """Requeue one dead letter with other parameters. Returns the response of a bulk requeue."""
    request = commands_pb2.RequeueDeadLetterRequest(
        command_id=command_id, params_json=params, options=options, request_id=key
    )
    response: commands_pb2.RequeueDeadLetterResponse = await service.call(find_method(_REQUEUE), request, _SECONDS)
    result = commands_pb2.RequeueResult(command_id=command_id, command=response.command)
    return commands_pb2.RequeueDeadLettersResponse(results=[result], requeued=1)


async def requeue(
    service: ServiceConnection,
    selection: SelectionOptions,
    options: commands_pb2.RequeueOptions,
    *,
    limit: int | None,
    dry_run: bool,
    key: str,
) -> commands_pb2.RequeueDeadLettersResponse:
    """Requeue all ids or all that match, up to 1,000 in a call."""
    total = commands_pb2.RequeueDeadLettersResponse(dry_run=dry_run)
    for number, (ids, most) in enumerate(_batches(selection, limit, total)):
        request = commands_pb2.RequeueDeadLettersRequest(
            command_ids=ids,
            filter=selection.matching,
            limit=most,
            page_token=total.next_page_token,
            options=options,
            dry_run=dry_run,
            request_id=_key_of_batch(key, number),
        )
        response: commands_pb2.RequeueDeadLettersResponse = await service.call(
            find_method(_REQUEUE_MANY), request, _SECONDS
        )
        total.requeued += response.requeued
        total.next_page_token = response.next_page_token
        _add(total, response)
        total.results.extend(response.results)
    return total


async def purge(
    service: ServiceConnection, selection: SelectionOptions, *, limit: int | None, dry_run: bool, key: str
) -> commands_pb2.PurgeDeadLettersResponse:
    """Purge all ids or all that match, up to 1,000 in a call."""
    total = commands_pb2.PurgeDeadLettersResponse(dry_run=dry_run)
    for number, (ids, most) in enumerate(_batches(selection, limit, total)):
        request = commands_pb2.PurgeDeadLettersRequest(
            command_ids=ids,
            filter=selection.matching,
            limit=most,
            dry_run=dry_run,
            request_id=_key_of_batch(key, number),
        )
        response: commands_pb2.PurgeDeadLettersResponse = await service.call(
            find_method(_PURGE_MANY), request, _SECONDS
        )
        total.purged += response.purged
        _add(total, response)
        total.results.extend(response.results)
    return total


_Total = commands_pb2.RequeueDeadLettersResponse | commands_pb2.PurgeDeadLettersResponse


def _batches(selection: SelectionOptions, limit: int | None, total: _Total) -> Iterator[tuple[Sequence[str], int]]:
    """Yield the ids and the limit of each call until all are processed. A dry run by filter is one call."""
    if selection.matching is None:
        for begin in range(0, len(selection.ids), _BATCH):
            yield selection.ids[begin : begin + _BATCH], 0
        return
    while True:
        yield (), _BATCH if limit is None else min(_BATCH, limit - len(total.results))
        is_full = limit is not None and len(total.results) >= limit
        if not total.more or total.dry_run or is_full:
            return


def _add(total: _Total, response: _Total) -> None:
    """Add a response's fields to the total."""
    total.refused += response.refused
    total.more = response.more
    if response.HasField("matched"):
        total.matched = response.matched


def _key_of_batch(key: str, number: int) -> str:
    return f"{key}-{number}" if key and number else key
