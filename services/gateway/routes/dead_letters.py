"""Routes of dead letters."""

from callboard.commands.v1 import commands_pb2
from libs.errors import Reason
from services.gateway.models import commands as models
from services.gateway.models.shape import Empty
from services.gateway.routes.commands import accepted_place
from services.gateway.routes.operation import VERSION, Answer, Asked, Operation, Reply
from services.gateway.translation import commands, dead_letters

_TAG = "Dead letters"
_SERVICE = "callboard.commands.v1.DeadLetterService"
_ONE = f"{VERSION}/dead-letters/{{commandId}}"


def _requeued(response: commands_pb2.RequeueDeadLetterResponse, asked: Asked) -> Reply:
    accepted = {**commands.accepted_json(response.command), "requeuedFrom": asked.path["commandId"]}
    return Reply(202, accepted, accepted_place(response.command))


LIST = Operation(
    name="listDeadLetters",
    method="GET",
    path=f"{VERSION}/dead-letters",
    tag=_TAG,
    summary="List dead letters, newest first",
    rpc=f"{_SERVICE}.ListDeadLetters",
    query=models.DeadLetterQuery,
    request=lambda asked: dead_letters.list_request(asked.query),
    reply=lambda response, _: Reply(200, dead_letters.dead_letters_json(response)),
    answers={200: Answer("A page of dead letters.", models.DeadLetterList)},
)
GET = Operation(
    name="getDeadLetter",
    method="GET",
    path=_ONE,
    tag=_TAG,
    summary="Get a dead letter, with its attempts",
    rpc=f"{_SERVICE}.GetDeadLetter",
    request=lambda asked: commands_pb2.GetDeadLetterRequest(command_id=asked.path["commandId"]),
    reply=lambda response, _: Reply(200, dead_letters.dead_letter_in_full(response.dead_letter)),
    answers={200: Answer("The dead letter.", models.DeadLetterInFull)},
    refusals=(Reason.DEAD_LETTER_NOT_FOUND,),
)
REQUEUE = Operation(
    name="requeueDeadLetter",
    method="POST",
    path=f"{_ONE}/requeue",
    tag=_TAG,
    summary="Submit a dead command again, as a new one in the agent's live session",
    rpc=f"{_SERVICE}.RequeueDeadLetter",
    body=Empty,
    body_required=False,
    request=lambda asked: commands_pb2.RequeueDeadLetterRequest(
        command_id=asked.path["commandId"], request_id=asked.request_id
    ),
    reply=_requeued,
    answers={202: Answer("The new command.", models.Requeued, ("Location",))},
    refusals=(
        Reason.DEAD_LETTER_NOT_FOUND,
        Reason.DEAD_LETTER_REQUEUED,
        Reason.SESSION_NOT_ACTIVE,
        Reason.SESSION_AMBIGUOUS,
    ),
)
PURGE = Operation(
    name="purgeDeadLetter",
    method="DELETE",
    path=_ONE,
    tag=_TAG,
    summary="Remove a dead letter; the command and its events remain",
    rpc=f"{_SERVICE}.PurgeDeadLetter",
    request=lambda asked: commands_pb2.PurgeDeadLetterRequest(
        command_id=asked.path["commandId"], request_id=asked.request_id
    ),
    reply=lambda _, __: Reply(204),
    answers={204: Answer("The dead letter is gone.")},
    refusals=(Reason.DEAD_LETTER_NOT_FOUND,),
)
OPERATIONS = (LIST, GET, REQUEUE, PURGE)
