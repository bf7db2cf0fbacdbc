"""Translation of field paths in a service's errors to REST."""

import pytest

from callboard.agents.v1 import agents_pb2
from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.contract.paths import in_rest_words, rest_path
from libs.errors import FieldViolation, Reason, ServiceError


@pytest.mark.parametrize(
    ("message", "body", "path", "name"),
    [
        (agents_pb2.CreateAgentRequest, "agent", "agent.connector.server", "connector.server"),
        (agents_pb2.CreateAgentRequest, "agent", "agent.exclusive", "exclusive"),
        (agents_pb2.CreateAgentRequest, "agent", 'agent.labels["a.b"]', 'labels["a.b"]'),
        (agents_pb2.CreateAgentRequest, "agent", "agent", "agent"),
        (agents_pb2.UpdateAgentRequest, "agent", "update_mask", ""),
        (sessions_pb2.StartSessionRequest, "", "spec.context_json", "context"),
        (commands_pb2.SubmitCommandRequest, "command", "command.options.max_attempts", "maxAttempts"),
        (commands_pb2.SubmitCommandRequest, "command", "command", "command"),
        (commands_pb2.BulkSubmitCommandsRequest, "", "commands[3].options.max_attempts", "commands[3].maxAttempts"),
        (commands_pb2.CancelCommandsRequest, "", "filter.states[1]", "filter.states[1]"),
        (commands_pb2.ListCommandsRequest, "", "states[1]", "state[1]"),
        (commands_pb2.RequeueDeadLettersRequest, "", "command_ids[3]", "ids[3]"),
        (events_pb2.AppendEventsRequest, "", "events[3].payload_json", "events[3].payload"),
        (events_pb2.StreamEventsRequest, "", "scope", "scope"),
        (events_pb2.ListEventsRequest, "", "page_size", "pageSize"),
        (events_pb2.ListEventsRequest, "", "99", "99"),
    ],
)  # fmt: skip
def test_field_paths_become_names_of_rest(message: type[agents_pb2.Agent], body: str, path: str, name: str) -> None:
    assert rest_path(message.DESCRIPTOR, path, body) == name


def test_error_of_a_token_names_its_parameter() -> None:
    error = ServiceError(Reason.PAGE_TOKEN_INVALID, "none of ours")
    translated = in_rest_words(error, agents_pb2.ListAgentsRequest.DESCRIPTOR)
    assert (translated.message, translated.violations[0].field) == ("none of ours", "pageToken")
    error = ServiceError(Reason.CURSOR_INVALID, "none of ours")
    assert in_rest_words(error, events_pb2.StreamEventsRequest.DESCRIPTOR).violations[0].field == "from"


def test_field_set_by_a_header_is_reported_as_the_header() -> None:
    error = ServiceError(Reason.FIELD_INVALID, "x", violations=[FieldViolation("agent.etag", "too long")])
    headers = {"agent.etag": "If-Match"}
    descriptor = agents_pb2.UpdateAgentRequest.DESCRIPTOR
    assert in_rest_words(error, descriptor, body="agent", headers=headers).message == "If-Match: too long"


def test_error_without_fields_is_unchanged() -> None:
    error = ServiceError(Reason.AGENT_NOT_FOUND, "no such agent")
    assert in_rest_words(error, agents_pb2.GetAgentRequest.DESCRIPTOR) is error
