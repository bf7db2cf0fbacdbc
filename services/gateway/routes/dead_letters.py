"""Routes of dead letters."""

from callboard.commands.v1 import commands_pb2
from libs.errors import Reason
from services.gateway.models import dead_letters as models
from services.gateway.routes.commands import accepted_place
from services.gateway.routes.operation import VERSION, Answer, Asked, Operation, Reply
from services.gateway.translation import commands, dead_letters

_TAG = "Dead letters"
_SERVICE = "callboard.commands.v1.DeadLetterService"
_ALL = f"{VERSION}/dead-letters"
_ONE = f"{_ALL}/{{commandId}}"
_NAMES = {"command_ids": "ids"}


def _requeued(response: commands_pb2.RequeueDeadLetterResponse, asked: Asked) -> Reply:
    accepted = {**commands.accepted_json(response.command), "requeuedFrom": asked.path["commandId"]}
    return Reply(202, accepted, accepted_place(response.command))


LIST = Operation(
    name="listDeadLetters",
    method="GET",
    path=_ALL,
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
    summary="Get a dead letter, with every attempt's outcome, error, runner and duration",
    rpc=f"{_SERVICE}.GetDeadLetter",
    request=lambda asked: commands_pb2.GetDeadLetterRequest(command_id=asked.path["commandId"]),
    reply=lambda response, _: Reply(200, dead_letters.dead_letter_in_full(response.dead_letter)),
    answers={200: Answer("The dead letter.", models.DeadLetterInFull)},
    errors=(Reason.DEAD_LETTER_NOT_FOUND,),
)
REQUEUE = Operation(
    name="requeueDeadLetter",
    method="POST",
    path=f"{_ONE}/requeue",
    tag=_TAG,
    summary="Submit a dead command again, as it was or changed, as a new one in the agent's live session",
    rpc=f"{_SERVICE}.RequeueDeadLetter",
    body=models.Requeue,
    body_required=False,
    request=lambda asked: dead_letters.requeue_request(asked.path["commandId"], asked.body, asked.request_id),
    reply=_requeued,
    answers={202: Answer("The new command.", models.Requeued, ("Location",))},
    errors=(
        Reason.DEAD_LETTER_NOT_FOUND,
        Reason.DEAD_LETTER_REQUEUED,
        Reason.AGENT_NOT_FOUND,
        Reason.SESSION_NOT_FOUND,
        Reason.SESSION_NOT_ACTIVE,
        Reason.SESSION_AMBIGUOUS,
    ),
)
REQUEUE_MANY = Operation(
    name="requeueDeadLetters",
    method="POST",
    path=f"{_ALL}/requeue",
    tag=_TAG,
    summary="Submit up to 1,000 dead commands again, by their ids or by a filter; each is answered by itself",
    rpc=f"{_SERVICE}.RequeueDeadLetters",
    body=models.RequeueMany,
    request=lambda asked: dead_letters.requeue_many_request(asked.body, asked.request_id),
    reply=lambda response, asked: Reply(200, dead_letters.requeued_json(response, asked.body)),
    answers={200: Answer("What became of each.", models.RequeuedMany)},
    errors=(Reason.PAGE_TOKEN_INVALID,),
    names=_NAMES,
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
    errors=(Reason.DEAD_LETTER_NOT_FOUND,),
)
PURGE_MANY = Operation(
    name="purgeDeadLetters",
    method="POST",
    path=f"{_ALL}/purge",
    tag=_TAG,
    summary="Remove up to 1,000 dead letters, by their ids or by a filter; the commands and their events remain",
    rpc=f"{_SERVICE}.PurgeDeadLetters",
    body=models.PurgeMany,
    request=lambda asked: dead_letters.purge_many_request(asked.body, asked.request_id),
    reply=lambda response, asked: Reply(200, dead_letters.purged_json(response, asked.body)),
    answers={200: Answer("What became of each.", models.PurgedMany)},
    names=_NAMES,
)
OPERATIONS = (LIST, GET, REQUEUE, REQUEUE_MANY, PURGE, PURGE_MANY)
