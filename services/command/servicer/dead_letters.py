"""The dead letters' part of the contract."""

from callboard.commands.v1 import commands_pb2, commands_pb2_grpc
from libs.calls import read_page_token, write_page_token
from libs.rpc import Context, current_caller
from services.command.domain.command import DeadLetterFilter
from services.command.operations.commands import DeadLetters
from services.command.ports.stores import DeadLetterStore
from services.command.servicer.convert import accepted, actor, command_id_of, dead_letter_message, key_of, reason_name

_PLACE = frozenset({"at", "id"})


class DeadLetterServicer(commands_pb2_grpc.DeadLetterServiceServicer):
    """Validated and authorised by the interceptor; converts and delegates."""

    def __init__(self, letters: DeadLetters, store: DeadLetterStore) -> None:
        self._letters = letters
        self._store = store

    async def GetDeadLetter(
        self, request: commands_pb2.GetDeadLetterRequest, context: Context
    ) -> commands_pb2.GetDeadLetterResponse:
        """Return a dead letter with its attempts."""
        tenant_id, command_id = current_caller().tenant_id, command_id_of(request.command_id)
        letter = await self._letters.get(tenant_id, command_id)
        attempts = await self._store.attempts(tenant_id, letter.command.command_id)
        return commands_pb2.GetDeadLetterResponse(dead_letter=dead_letter_message(letter, attempts))

    async def ListDeadLetters(
        self, request: commands_pb2.ListDeadLettersRequest, context: Context
    ) -> commands_pb2.ListDeadLettersResponse:
        """Return a page of dead letters."""
        wanted = DeadLetterFilter(request.agent_id, request.session_id, request.type, reason_name(request.reason))
        size, scope = request.page_size or 50, f"dead{wanted!r}"
        place = read_page_token(scope, request.page_token, keys=_PLACE)
        found = await self._store.find(current_caller().tenant_id, wanted, place, size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = write_page_token(
                scope, {"at": last.dead_at.isoformat(), "id": str(last.command.command_id)}
            )  # fmt: skip
        return commands_pb2.ListDeadLettersResponse(
            dead_letters=[dead_letter_message(letter, []) for letter in found[:size]], next_page_token=token
        )

    async def RequeueDeadLetter(
        self, request: commands_pb2.RequeueDeadLetterRequest, context: Context
    ) -> commands_pb2.RequeueDeadLetterResponse:
        """Submit a dead command again."""
        done = await self._letters.requeue(actor(), command_id_of(request.command_id), request.request_id)
        return commands_pb2.RequeueDeadLetterResponse(command=accepted(done))

    async def PurgeDeadLetter(
        self, request: commands_pb2.PurgeDeadLetterRequest, context: Context
    ) -> commands_pb2.PurgeDeadLetterResponse:
        """Remove a dead letter."""
        await self._letters.purge(current_caller().tenant_id, command_id_of(request.command_id), key_of(request))
        return commands_pb2.PurgeDeadLetterResponse()
