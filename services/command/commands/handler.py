"""The gRPC servicer of commands."""

from dataclasses import asdict
from datetime import UTC
from functools import partial
from operator import attrgetter

from google.protobuf.duration_pb2 import Duration

from callboard.commands.v1 import commands_pb2, commands_pb2_grpc
from libs.calls import list_scope, read_page
from libs.errors import ServiceError
from libs.idempotency import KeyStore, key_of
from libs.rpc import Context, Service, actor, current_caller
from services.command.commands.cancels import Cancels
from services.command.commands.convert import (
    STATES,
    accepted,
    command_id_of,
    command_message,
    new_command,
    rejection,
)
from services.command.commands.model import (
    DEFAULT_GRACE_MS,
    DEFAULT_LIMIT,
    Cancel,
    CancelMode,
    CommandFilter,
    NewCommand,
    OpenCommandFilter,
)
from services.command.commands.ports import CommandStore
from services.command.commands.service import Commands

_KEYSET = {"at": attrgetter("enqueued_at"), "id": attrgetter("command_id")}
_MODES = {
    commands_pb2.CANCEL_MODE_UNSPECIFIED: CancelMode.GRACEFUL,
    commands_pb2.CANCEL_MODE_GRACEFUL: CancelMode.GRACEFUL,
    commands_pb2.CANCEL_MODE_IMMEDIATE: CancelMode.IMMEDIATE,
    commands_pb2.CANCEL_MODE_KILL: CancelMode.KILL,
}


class CommandServicer(commands_pb2_grpc.CommandServiceServicer):
    """Converts and delegates. The interceptor has validated and authorised each request."""

    def __init__(self, commands: Commands, cancels: Cancels) -> None:
        self._commands = commands
        self._cancels = cancels

    async def SubmitCommand(
        self, request: commands_pb2.SubmitCommandRequest, context: Context
    ) -> commands_pb2.SubmitCommandResponse:
        """Submit a command."""
        done = await self._commands.submit(actor(), new_command(request.command, "command"))
        return commands_pb2.SubmitCommandResponse(command=accepted(done))

    async def BulkSubmitCommands(
        self, request: commands_pb2.BulkSubmitCommandsRequest, context: Context
    ) -> commands_pb2.BulkSubmitCommandsResponse:
        """Submit many commands. Each is accepted or rejected on its own."""
        commands = [_new_or_error(spec, f"commands[{index}]") for index, spec in enumerate(request.commands)]
        answers = await self._commands.submit_many(actor(), commands)
        results = [
            commands_pb2.BulkSubmitResult(refusal=rejection(answer))
            if isinstance(answer, ServiceError)
            else commands_pb2.BulkSubmitResult(command=accepted(answer))
            for answer in answers
        ]
        return commands_pb2.BulkSubmitCommandsResponse(results=results)

    async def GetCommand(
        self, request: commands_pb2.GetCommandRequest, context: Context
    ) -> commands_pb2.GetCommandResponse:
        """Return a command."""
        command = await self._commands.get(current_caller().tenant_id, command_id_of(request.command_id))
        return commands_pb2.GetCommandResponse(command=command_message(command))

    async def ListCommands(
        self, request: commands_pb2.ListCommandsRequest, context: Context
    ) -> commands_pb2.ListCommandsResponse:
        """Return a page of commands."""
        wanted = CommandFilter(
            request.session_id, request.agent_id, tuple(STATES[state] for state in request.states), request.type,
            request.correlation_id,
        )  # fmt: skip
        find = partial(self._commands.find, current_caller().tenant_id, wanted)
        page = await read_page(list_scope("commands", asdict(wanted)), request, _KEYSET, find)
        return commands_pb2.ListCommandsResponse(
            commands=[command_message(command) for command in page.items], next_page_token=page.next_token
        )

    async def CancelCommand(
        self, request: commands_pb2.CancelCommandRequest, context: Context
    ) -> commands_pb2.CancelCommandResponse:
        """Cancel a command, or the one that is or will be submitted under a key."""
        if request.submit_request_id:
            coming = await self._cancels.by_key(actor(), request.submit_request_id, _cancel_of(request))
            return commands_pb2.CancelCommandResponse(command=command_message(coming) if coming else None)
        command_id, key = command_id_of(request.command_id), key_of("cancel", request)
        command = await self._cancels.one(actor(), command_id, _cancel_of(request), key)
        return commands_pb2.CancelCommandResponse(command=command_message(command))

    async def CancelCommands(
        self, request: commands_pb2.CancelCommandsRequest, context: Context
    ) -> commands_pb2.CancelCommandsResponse:
        """Cancel the commands that match."""
        wanted, limit = _open_filter(request.filter), request.limit or DEFAULT_LIMIT
        if request.dry_run:
            done = await self._cancels.would_cancel(current_caller().tenant_id, wanted, limit)
        else:
            done = await self._cancels.many(actor(), wanted, limit, _cancel_of(request), key_of("cancel_many", request))
        return commands_pb2.CancelCommandsResponse(
            cancelled=done.cancelled, requested=done.requested, more=done.more, dry_run=request.dry_run
        )


def _new_or_error(spec: commands_pb2.CommandSpec, path: str) -> NewCommand | ServiceError:
    try:
        return new_command(spec, path)
    except ServiceError as error:
        return error


def _cancel_of(request: commands_pb2.CancelCommandRequest | commands_pb2.CancelCommandsRequest) -> Cancel:
    grace: Duration = request.grace
    grace_ms = grace.ToMilliseconds() if request.HasField("grace") else DEFAULT_GRACE_MS
    return Cancel(_MODES[request.mode], grace_ms, request.reason)


def _open_filter(given: commands_pb2.OpenCommandFilter) -> OpenCommandFilter:
    return OpenCommandFilter(
        given.session_id, given.agent_id, tuple(STATES[state] for state in given.states), given.type,
        given.correlation_id,
        given.enqueued_after.ToDatetime(UTC) if given.HasField("enqueued_after") else None,
        given.enqueued_before.ToDatetime(UTC) if given.HasField("enqueued_before") else None,
    )  # fmt: skip


def command_service(store: CommandStore, keys: KeyStore) -> Service:
    """Return the service for a server."""
    return Service(
        "callboard.commands.v1.CommandService",
        commands_pb2_grpc.add_CommandServiceServicer_to_server,
        CommandServicer(Commands(store), Cancels(store, keys)),
    )
