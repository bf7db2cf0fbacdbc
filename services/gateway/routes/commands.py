"""Routes of commands."""

from callboard.commands.v1 import commands_pb2
from libs.errors import Reason
from services.gateway.models import commands as models
from services.gateway.routes.operation import VERSION, Answer, Asked, Operation, Reply
from services.gateway.translation import commands

_TAG = "Commands"
_COMMANDS = "callboard.commands.v1.CommandService"
_COMMAND = f"{VERSION}/commands/{{commandId}}"


def accepted_place(command: commands_pb2.AcceptedCommand) -> dict[str, str]:
    """Return the header that says where an accepted command is."""
    return {"Location": f"{VERSION}/commands/{command.command_id}"}


def _accepted(response: commands_pb2.SubmitCommandResponse, _: Asked) -> Reply:
    return Reply(202, commands.accepted_json(response.command), accepted_place(response.command))


SUBMIT_TO_AGENT = Operation(
    name="submitCommand",
    method="POST",
    path=f"{VERSION}/agents/{{agentId}}/command",
    aliases=("/api/agents/{agentId}/command",),
    tag=_TAG,
    summary="Submit a command to an agent's live session",
    rpc=f"{_COMMANDS}.SubmitCommand",
    body=models.NewCommand,
    request=lambda asked: commands.submit_request(asked.body, asked.request_id, agent_id=asked.path["agentId"]),
    reply=_accepted,
    answers={202: Answer("The command is stored and will reach one outcome.", models.Accepted, ("Location",))},
    errors=(Reason.AGENT_NOT_FOUND, Reason.SESSION_NOT_ACTIVE, Reason.SESSION_AMBIGUOUS),
)
SUBMIT_TO_SESSION = Operation(
    name="submitSessionCommand",
    method="POST",
    path=f"{VERSION}/agent-sessions/{{sessionId}}/commands",
    tag=_TAG,
    summary="Submit a command to a session",
    rpc=f"{_COMMANDS}.SubmitCommand",
    body=models.NewCommand,
    request=lambda asked: commands.submit_request(asked.body, asked.request_id, session_id=asked.path["sessionId"]),
    reply=_accepted,
    answers={202: Answer("The command is stored and will reach one outcome.", models.Accepted, ("Location",))},
    errors=(Reason.SESSION_NOT_FOUND, Reason.SESSION_NOT_ACTIVE),
)
LIST_OF_SESSION = Operation(
    name="listSessionCommands",
    method="GET",
    path=f"{VERSION}/agent-sessions/{{sessionId}}/commands",
    tag=_TAG,
    summary="List a session's commands, newest first",
    rpc=f"{_COMMANDS}.ListCommands",
    query=models.SessionCommandQuery,
    request=lambda asked: commands.list_request(asked.query, agent_id=None, session_id=asked.path["sessionId"]),
    reply=lambda response, _: Reply(200, commands.commands_json(response)),
    answers={200: Answer("A page of commands.", models.CommandList)},
    errors=(Reason.SESSION_NOT_FOUND,),
)
LIST = Operation(
    name="listCommands",
    method="GET",
    path=f"{VERSION}/commands",
    tag=_TAG,
    summary="List commands, newest first",
    rpc=f"{_COMMANDS}.ListCommands",
    query=models.CommandQuery,
    request=lambda asked: commands.list_request(
        asked.query, agent_id=asked.query.agent_id, session_id=asked.query.session_id
    ),
    reply=lambda response, _: Reply(200, commands.commands_json(response)),
    answers={200: Answer("A page of commands.", models.CommandList)},
)
GET = Operation(
    name="getCommand",
    method="GET",
    path=_COMMAND,
    tag=_TAG,
    summary="Get a command",
    rpc=f"{_COMMANDS}.GetCommand",
    request=lambda asked: commands_pb2.GetCommandRequest(command_id=asked.path["commandId"]),
    reply=lambda response, _: Reply(200, commands.command_json(response.command)),
    answers={200: Answer("The command.", models.Command)},
    errors=(Reason.COMMAND_NOT_FOUND,),
)
CANCEL = Operation(
    name="cancelCommand",
    method="POST",
    path=f"{_COMMAND}/cancel",
    tag=_TAG,
    summary="Cancel a command: at once while it waits, with grace while it runs",
    rpc=f"{_COMMANDS}.CancelCommand",
    body=models.Cancel,
    body_required=False,
    request=lambda asked: commands.cancel_request(asked.body, asked.request_id, command_id=asked.path["commandId"]),
    reply=lambda response, _: Reply(200, commands.command_json(response.command)),
    answers={200: Answer("The command: cancelled, or asked to stop.", models.Command)},
    errors=(Reason.COMMAND_NOT_FOUND, Reason.COMMAND_FINISHED),
)
CANCEL_BY_KEY = Operation(
    name="cancelCommandByKey",
    method="POST",
    path=f"{VERSION}/commands/cancel-by-key",
    tag=_TAG,
    summary="Cancel the command of an idempotency key, also before it is submitted",
    rpc=f"{_COMMANDS}.CancelCommand",
    body=models.CancelByKey,
    request=lambda asked: commands.cancel_request(asked.body, asked.request_id, submit_key=asked.body.idempotency_key),
    reply=lambda response, _: Reply(
        200, {"command": commands.command_json(response.command) if response.HasField("command") else None}
    ),
    answers={200: Answer("The command, or null while there is none.", models.CancelledByKey)},
    errors=(Reason.COMMAND_FINISHED,),
)
CANCEL_MANY = Operation(
    name="cancelCommands",
    method="POST",
    path=f"{VERSION}/commands/cancel",
    tag=_TAG,
    summary="Cancel all commands that match a filter and have not ended",
    rpc=f"{_COMMANDS}.CancelCommands",
    body=models.CancelMany,
    request=lambda asked: commands.cancel_many_request(asked.body, asked.request_id),
    reply=lambda response, asked: Reply(200, commands.cancelled_many_json(response, dry_run=asked.body.dry_run)),
    answers={200: Answer("What was cancelled.", models.CancelledMany)},
    errors=(Reason.IDEMPOTENCY_KEY_IN_USE,),
)
OPERATIONS = (
    CANCEL_BY_KEY,
    CANCEL_MANY,
    SUBMIT_TO_AGENT,
    SUBMIT_TO_SESSION,
    LIST_OF_SESSION,
    LIST,
    GET,
    CANCEL,
)
