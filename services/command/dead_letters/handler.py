"""The gRPC servicer of dead letters."""

from dataclasses import asdict
from functools import partial
from operator import attrgetter

from callboard.commands.v1 import commands_pb2, commands_pb2_grpc
from libs.calls import list_scope, read_page
from libs.idempotency import KeyStore, key_of
from libs.rpc import Context, Service, actor, current_caller
from services.command.commands.convert import (
    accepted,
    command_id_of,
)
from services.command.dead_letters.batches import DeadLetterBatches
from services.command.dead_letters.convert import (
    changes_of,
    dead_letter_message,
    listed_filter,
    purge_result,
    purge_selection,
    requeue_results,
    requeue_selection,
    token_after,
)
from services.command.dead_letters.ports import Commands, DeadLetterStore
from services.command.dead_letters.service import DeadLetters

_KEYSET = {"at": attrgetter("dead_at"), "id": attrgetter("command.command_id")}


class DeadLetterServicer(commands_pb2_grpc.DeadLetterServiceServicer):
    """Converts and delegates. The interceptor has validated and authorised each request."""

    def __init__(self, dead_letters: DeadLetters, batches: DeadLetterBatches) -> None:
        self._dead_letters = dead_letters
        self._batches = batches

    async def GetDeadLetter(
        self, request: commands_pb2.GetDeadLetterRequest, context: Context
    ) -> commands_pb2.GetDeadLetterResponse:
        """Return a dead letter with its attempts."""
        tenant_id, command_id = current_caller().tenant_id, command_id_of(request.command_id)
        dead_letter = await self._dead_letters.get(tenant_id, command_id)
        attempts = await self._dead_letters.attempts(tenant_id, dead_letter.command.command_id)
        return commands_pb2.GetDeadLetterResponse(dead_letter=dead_letter_message(dead_letter, attempts))

    async def ListDeadLetters(
        self, request: commands_pb2.ListDeadLettersRequest, context: Context
    ) -> commands_pb2.ListDeadLettersResponse:
        """Return a page of dead letters."""
        wanted = listed_filter(request)
        find = partial(self._dead_letters.find, current_caller().tenant_id, wanted)
        page = await read_page(list_scope("dead_letters", asdict(wanted)), request, _KEYSET, find)
        return commands_pb2.ListDeadLettersResponse(
            dead_letters=[dead_letter_message(one, []) for one in page.items], next_page_token=page.next_token
        )

    async def RequeueDeadLetter(
        self, request: commands_pb2.RequeueDeadLetterRequest, context: Context
    ) -> commands_pb2.RequeueDeadLetterResponse:
        """Submit a dead command again."""
        changes = changes_of(request.options, request.params_json if request.HasField("params_json") else None)
        command_id = command_id_of(request.command_id)
        done = await self._dead_letters.requeue(actor(), command_id, changes, request.request_id)
        return commands_pb2.RequeueDeadLetterResponse(command=accepted(done), requeued_from=request.command_id)

    async def RequeueDeadLetters(
        self, request: commands_pb2.RequeueDeadLettersRequest, context: Context
    ) -> commands_pb2.RequeueDeadLettersResponse:
        """Submit many dead commands again. Each is requeued or rejected on its own."""
        wanted, changes = requeue_selection(request), changes_of(request.options)
        if request.dry_run:
            done = await self._batches.would_requeue(current_caller().tenant_id, wanted, changes.session_id)
        else:
            done = await self._batches.requeue(actor(), wanted, changes, key_of("requeue_many", request))
        rejected = sum(one.error is not None for one in done.results)
        return commands_pb2.RequeueDeadLettersResponse(
            results=requeue_results(done.results), requeued=len(done.results) - rejected, refused=rejected,
            more=done.plan.more, next_page_token=token_after(done.plan, wanted), dry_run=request.dry_run,
            matched=done.matched,
        )  # fmt: skip

    async def PurgeDeadLetter(
        self, request: commands_pb2.PurgeDeadLetterRequest, context: Context
    ) -> commands_pb2.PurgeDeadLetterResponse:
        """Remove a dead letter."""
        await self._dead_letters.purge(
            current_caller().tenant_id, command_id_of(request.command_id), key_of("purge", request)
        )
        return commands_pb2.PurgeDeadLetterResponse()

    async def PurgeDeadLetters(
        self, request: commands_pb2.PurgeDeadLettersRequest, context: Context
    ) -> commands_pb2.PurgeDeadLettersResponse:
        """Remove many dead letters."""
        wanted, tenant_id = purge_selection(request), current_caller().tenant_id
        if request.dry_run:
            done = await self._batches.would_purge(tenant_id, wanted)
        else:
            done = await self._batches.purge(tenant_id, wanted, key_of("purge_many", request))
        return commands_pb2.PurgeDeadLettersResponse(
            results=[purge_result(one, done.errors.get(one)) for one in done.ids],
            purged=len(done.ids) - len(done.errors), refused=len(done.errors), more=done.more,
            dry_run=request.dry_run, matched=done.matched,
        )  # fmt: skip


def dead_letter_service(dead_letters: DeadLetterStore, commands: Commands, keys: KeyStore) -> Service:
    """Return the service for a server."""
    return Service(
        "callboard.commands.v1.DeadLetterService",
        commands_pb2_grpc.add_DeadLetterServiceServicer_to_server,
        DeadLetterServicer(DeadLetters(dead_letters, commands), DeadLetterBatches(dead_letters, commands, keys)),
    )
