"""Messages that stub services answer with, and the default answers of a script."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from callboard.agents.v1 import agents_pb2
from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.contract import all_methods

LIVE, ENDED = (("callboard-stream", "live"),), (("callboard-stream", "ended"),)
COMMAND_ID = "01a1fd32-38d5-77fc-965c-4448957ff1f0"


def an_agent(agent_id: str = "clock") -> agents_pb2.Agent:
    agent = agents_pb2.Agent(agent_id=agent_id, connector=agents_pb2.Connector(kind="echo"), exclusive=True, etag="7")
    agent.labels["team"] = "blue"
    agent.created_at.FromJsonString("2026-01-31T09:30:00.5Z")
    agent.updated_at.FromJsonString("2026-01-31T09:31:00Z")
    return agent


def a_session(session_id: str = "ses-1", **more: Any) -> sessions_pb2.Session:
    session = sessions_pb2.Session(
        session_id=session_id, agent_id="clock", state=sessions_pb2.SESSION_STATE_ACTIVE, etag="3", last_seq=4, **more
    )
    session.spec.session_type = sessions_pb2.SESSION_TYPE_CUSTOM
    session.spec.context_json = '{"goal": "to try"}'
    session.created_at.FromJsonString("2026-01-31T09:30:00Z")
    return session


def a_command(**more: Any) -> commands_pb2.Command:
    command = commands_pb2.Command(
        command_id=COMMAND_ID,
        correlation_id="cor-1",
        agent_id="clock",
        session_id="ses-1",
        type="run_tool",
        params_json='{"tool":"t"}',
        state=commands_pb2.COMMAND_STATE_QUEUED,
        **more,
    )
    command.options.max_attempts = 3
    command.options.timeout.seconds = 30
    command.enqueued_at.FromJsonString("2026-01-31T09:30:00Z")
    return command


def a_dead_letter() -> commands_pb2.DeadLetter:
    dead_letter = commands_pb2.DeadLetter(command=a_command(), reason=errors_pb2.ERROR_REASON_TOOL_ERROR)
    dead_letter.command.state = commands_pb2.COMMAND_STATE_FAILED
    failed = commands_pb2.ATTEMPT_OUTCOME_FAILED
    attempt = dead_letter.attempts.add(attempt=1, runner_id="r1", charged=True, outcome=failed)
    attempt.error.code = errors_pb2.ERROR_REASON_TOOL_ERROR
    attempt.duration.FromMilliseconds(1500)
    return dead_letter


def a_refusal() -> commands_pb2.BulkSubmitRefusal:
    error = commands_pb2.BulkSubmitRefusal(reason=errors_pb2.ERROR_REASON_DEAD_LETTER_REQUEUED, message="before")
    error.metadata["requeued_as"] = "c2"
    return error


def an_event(seq: int, kind: str = "custom.note", payload: str = '{"a":1}') -> events_pb2.Event:
    event = events_pb2.Event(
        event_id=f"e{seq}", seq=seq, type=kind, level=events_pb2.EVENT_LEVEL_INFO, session_id="ses-1",
        agent_id="clock", payload_json=payload,
    )  # fmt: skip
    event.created_at.FromJsonString("2026-01-31T09:30:00Z")
    return event


def a_batch(*events: events_pb2.Event) -> events_pb2.StreamEventsResponse:
    streamed = [events_pb2.StreamedEvent(event=event, cursor=f"c{event.seq}") for event in events]
    return events_pb2.StreamEventsResponse(batch=events_pb2.EventBatch(events=streamed), cursor=f"c{events[-1].seq}")


def a_keepalive(cursor: str) -> events_pb2.StreamEventsResponse:
    return events_pb2.StreamEventsResponse(keepalive=events_pb2.Keepalive(), cursor=cursor)


def the_end() -> events_pb2.StreamEventsResponse:
    return events_pb2.StreamEventsResponse(end=events_pb2.StreamEnd(), cursor="end")


def default_answers() -> dict[str, Any]:
    """An answer of every method: an empty message where no other is given."""
    return {method.name: method.response() for method in all_methods()} | _given_answers()


def _given_answers() -> dict[str, Any]:
    accepted = commands_pb2.AcceptedCommand(command_id=COMMAND_ID, correlation_id="cor-1")

    async def idle(_: Any, context: Any) -> AsyncIterator[Message]:
        await context.send_initial_metadata(LIVE)
        await asyncio.Event().wait()
        yield the_end()

    return _dead_letter_answers(accepted) | {
        "CreateAgent": lambda request: agents_pb2.CreateAgentResponse(agent=an_agent(request.agent.agent_id)),
        "GetAgent": lambda request: agents_pb2.GetAgentResponse(agent=an_agent(request.agent_id)),
        "ListAgents": agents_pb2.ListAgentsResponse(agents=[an_agent()], next_page_token="more"),
        "UpdateAgent": lambda request: agents_pb2.UpdateAgentResponse(agent=an_agent(request.agent.agent_id)),
        "DeleteAgent": agents_pb2.DeleteAgentResponse(),
        "StartSession": sessions_pb2.StartSessionResponse(session=a_session(), created=True),
        "StopSession": sessions_pb2.StopSessionResponse(session=a_session()),
        "RestartSession": sessions_pb2.RestartSessionResponse(session=a_session("ses-2"), previous=a_session()),
        "GetSession": sessions_pb2.GetSessionResponse(session=a_session()),
        "ListSessions": sessions_pb2.ListSessionsResponse(sessions=[a_session()]),
        "ListEvents": events_pb2.ListEventsResponse(events=[an_event(1)], next_page_token="more"),
        "AppendEvents": events_pb2.AppendEventsResponse(first_seq=5, last_seq=6),
        "StreamEvents": idle,
        "SubmitCommand": commands_pb2.SubmitCommandResponse(command=accepted),
        "GetCommand": commands_pb2.GetCommandResponse(command=a_command()),
        "ListCommands": commands_pb2.ListCommandsResponse(commands=[a_command()]),
        "CancelCommand": commands_pb2.CancelCommandResponse(command=a_command()),
        "CancelCommands": lambda request: commands_pb2.CancelCommandsResponse(
            cancelled=3, requested=1, more=True, dry_run=request.dry_run
        ),
    }


def _dead_letter_answers(accepted: commands_pb2.AcceptedCommand) -> dict[str, Any]:
    return {
        "GetDeadLetter": commands_pb2.GetDeadLetterResponse(dead_letter=a_dead_letter()),
        "ListDeadLetters": commands_pb2.ListDeadLettersResponse(dead_letters=[a_dead_letter()]),
        "RequeueDeadLetter": lambda request: commands_pb2.RequeueDeadLetterResponse(
            command=accepted, requeued_from=request.command_id
        ),
        "RequeueDeadLetters": lambda request: commands_pb2.RequeueDeadLettersResponse(
            results=[
                commands_pb2.RequeueResult(command_id="a", command=accepted),
                commands_pb2.RequeueResult(command_id="b", refusal=a_refusal()),
                commands_pb2.RequeueResult(command_id="c"),
            ],
            requeued=2,
            refused=1,
            more=True,
            next_page_token="more",
            dry_run=request.dry_run,
            matched=7 if _counts(request) else None,
        ),
        "PurgeDeadLetter": commands_pb2.PurgeDeadLetterResponse(),
        "PurgeDeadLetters": lambda request: commands_pb2.PurgeDeadLettersResponse(
            results=[
                commands_pb2.PurgeResult(command_id="a"),
                commands_pb2.PurgeResult(command_id="b", refusal=a_refusal()),
            ],
            purged=1,
            refused=1,
            more=False,
            dry_run=request.dry_run,
            matched=2 if _counts(request) else None,
        ),
    }


def _counts(request: Any) -> bool:
    return bool(request.dry_run and request.HasField("filter"))
