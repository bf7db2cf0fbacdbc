"""What `callboard dlq` does: each function is one subcommand, and returns what is to be shown."""

from collections.abc import Iterator, Sequence
from typing import Any

from callboard.commands.v1 import commands_pb2
from libs.rpc.stubs import Stubs
from services.cli.dead_letters.options import Chosen
from services.cli.dead_letters.service import SECONDS
from services.cli.dead_letters.shapes import letter_shape, refusal_shape, whole_letter_shape

_PAGE = 500
_MOST = 1000


async def find(
    client: Stubs, wanted: commands_pb2.DeadLetterFilter, limit: int, token: str
) -> tuple[list[dict[str, Any]], str]:
    """Returns up to `limit` dead letters, newest first, and the token of what follows."""
    found: list[dict[str, Any]] = []
    while True:
        request = commands_pb2.ListDeadLettersRequest(
            page_size=min(_PAGE, limit - len(found)),
            page_token=token,
            agent_id=wanted.agent_id,
            session_id=wanted.session_id,
            type=wanted.type,
            reasons=wanted.reasons,
            dead_after=wanted.dead_after if wanted.HasField("dead_after") else None,
            dead_before=wanted.dead_before if wanted.HasField("dead_before") else None,
            requeued=wanted.requeued,
            correlation_id=wanted.correlation_id,
        )
        page = await client.dead_letters.ListDeadLetters(request, timeout=SECONDS)
        found += [letter_shape(letter) for letter in page.dead_letters]
        token = page.next_page_token
        if not token or len(found) >= limit:
            return found, token


async def show(client: Stubs, command_id: str) -> dict[str, Any]:
    """Returns one dead letter with its attempts."""
    request = commands_pb2.GetDeadLetterRequest(command_id=command_id)
    response = await client.dead_letters.GetDeadLetter(request, timeout=SECONDS)
    return whole_letter_shape(response.dead_letter)


async def requeue_one(
    client: Stubs, command_id: str, params: str, options: commands_pb2.RequeueOptions, key: str
) -> dict[str, Any]:
    """Requeues one dead letter with other parameters."""
    request = commands_pb2.RequeueDeadLetterRequest(
        command_id=command_id, params_json=params, options=options, request_id=key
    )
    made = (await client.dead_letters.RequeueDeadLetter(request, timeout=SECONDS)).command
    result = {"id": command_id, "jobId": made.command_id, "refusal": None}
    return {**_nothing("requeued", dry_run=False), "results": [result], "requeued": 1}


async def requeue(
    client: Stubs, chosen: Chosen, options: commands_pb2.RequeueOptions, *, limit: int | None, dry_run: bool, key: str
) -> dict[str, Any]:
    """Requeues many: all ids, or all that match, a thousand a call."""
    outcome, token = _nothing("requeued", dry_run=dry_run), ""
    for number, (ids, most) in enumerate(_calls(chosen, limit, outcome)):
        request = commands_pb2.RequeueDeadLettersRequest(
            command_ids=ids,
            filter=chosen.matching,
            limit=most,
            page_token=token,
            options=options,
            dry_run=dry_run,
            request_id=_key_of_call(key, number),
        )
        response = await client.dead_letters.RequeueDeadLetters(request, timeout=SECONDS)
        token = response.next_page_token
        _add(outcome, "requeued", response.requeued, response)
        outcome["results"] += [
            {"id": one.command_id, "jobId": one.command.command_id or None, "refusal": _error_of(one)}
            for one in response.results
        ]
    return outcome


async def purge(client: Stubs, chosen: Chosen, *, limit: int | None, dry_run: bool, key: str) -> dict[str, Any]:
    """Purges many: all ids, or all that match, a thousand a call."""
    outcome = _nothing("purged", dry_run=dry_run)
    for number, (ids, most) in enumerate(_calls(chosen, limit, outcome)):
        request = commands_pb2.PurgeDeadLettersRequest(
            command_ids=ids,
            filter=chosen.matching,
            limit=most,
            dry_run=dry_run,
            request_id=_key_of_call(key, number),
        )
        response = await client.dead_letters.PurgeDeadLetters(request, timeout=SECONDS)
        _add(outcome, "purged", response.purged, response)
        outcome["results"] += [{"id": one.command_id, "refusal": _error_of(one)} for one in response.results]
    return outcome


def _calls(chosen: Chosen, limit: int | None, outcome: dict[str, Any]) -> Iterator[tuple[Sequence[str], int]]:
    """Yields the ids and the limit of each call, until there is nothing more to do; a dry run is one call by filter."""
    if chosen.matching is None:
        for begin in range(0, len(chosen.ids), _MOST):
            yield chosen.ids[begin : begin + _MOST], 0
        return
    while True:
        left = _MOST if limit is None else min(_MOST, limit - len(outcome["results"]))
        yield (), left
        done = limit is not None and len(outcome["results"]) >= limit
        if not outcome["more"] or outcome["dryRun"] or done:
            return


def _nothing(verb: str, *, dry_run: bool) -> dict[str, Any]:
    return {"results": [], verb: 0, "refused": 0, "more": False, "dryRun": dry_run, "matched": None}


def _add(
    outcome: dict[str, Any],
    verb: str,
    done: int,
    response: commands_pb2.RequeueDeadLettersResponse | commands_pb2.PurgeDeadLettersResponse,
) -> None:
    outcome[verb] += done
    outcome["refused"] += response.refused
    outcome["more"] = response.more
    if outcome["dryRun"] and (response.matched or not response.results):
        outcome["matched"] = response.matched


def _error_of(one: commands_pb2.RequeueResult | commands_pb2.PurgeResult) -> dict[str, Any] | None:
    return refusal_shape(one.refusal) if one.HasField("refusal") else None


def _key_of_call(key: str, number: int) -> str:
    return f"{key}-{number}" if key and number else key
