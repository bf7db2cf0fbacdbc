"""The commands' part of the contract."""

from google.protobuf.duration_pb2 import Duration

from callboard.commands.v1 import commands_pb2, commands_pb2_grpc
from libs.calls import read_page_token, write_page_token
from libs.errors import Refusal
from libs.rpc import Context, current_caller
from services.command.domain.command import CommandFilter, NewCommand
from services.command.operations.commands import CANCEL_GRACE_MS, Commands
from services.command.ports.stores import CommandStore
from services.command.servicer.convert import (
    STATES,
    accepted,
    actor,
    command_id_of,
    command_message,
    key_of,
    new_command,
    refused,
)

_PLACE = frozenset({"at", "id"})


class CommandServicer(commands_pb2_grpc.CommandServiceServicer):
    """Validated and authorised by the interceptor; converts and delegates."""

    def __init__(self, commands: Commands, store: CommandStore) -> None:
        self._commands = commands
        self._store = store

    async def SubmitCommand(
        self, request: commands_pb2.SubmitCommandRequest, context: Context
    ) -> commands_pb2.SubmitCommandResponse:
        """Submit a command."""
        done = await self._commands.submit(actor(), new_command(request.command, "command"))
        return commands_pb2.SubmitCommandResponse(command=accepted(done))

    async def BulkSubmitCommands(
        self, request: commands_pb2.BulkSubmitCommandsRequest, context: Context
    ) -> commands_pb2.BulkSubmitCommandsResponse:
        """Submit many commands; each is accepted or refused by itself."""
        commands = [_new_or_refused(spec, f"commands[{index}]") for index, spec in enumerate(request.commands)]
        answers = await self._commands.submit_many(actor(), commands)
        results = [
            commands_pb2.BulkSubmitResult(refusal=refused(answer))
            if isinstance(answer, Refusal)
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
        size = request.page_size or 50
        place = read_page_token(repr(wanted), request.page_token, keys=_PLACE)
        found = await self._store.find(current_caller().tenant_id, wanted, place, size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = write_page_token(
                repr(wanted), {"at": last.enqueued_at.isoformat(), "id": str(last.command_id)}
            )  # fmt: skip
        return commands_pb2.ListCommandsResponse(
            commands=[command_message(command) for command in found[:size]], next_page_token=token
        )

    async def CancelCommand(
        self, request: commands_pb2.CancelCommandRequest, context: Context
    ) -> commands_pb2.CancelCommandResponse:
        """Cancel a command."""
        grace_ms = _grace_ms(request)
        command_id, key = command_id_of(request.command_id), key_of(request)
        command = await self._commands.cancel(actor(), command_id, grace_ms, request.reason, key)
        return commands_pb2.CancelCommandResponse(command=command_message(command))


def _new_or_refused(spec: commands_pb2.CommandSpec, path: str) -> NewCommand | Refusal:
    try:
        return new_command(spec, path)
    except Refusal as refusal:
        return refusal


def _grace_ms(request: commands_pb2.CancelCommandRequest) -> int:
    if request.mode == commands_pb2.CANCEL_MODE_IMMEDIATE:
        return 0
    grace: Duration = request.grace
    return grace.ToMilliseconds() if request.HasField("grace") else CANCEL_GRACE_MS
