"""`callboard call` reaches every method of the contract by its name, here of scripted services."""

import asyncio
import json
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message

from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from libs.contract import Method, all_methods, find_method
from libs.embedded.ports import free_port
from libs.errors import FieldViolation, Reason, ServiceError
from services.cli.calls import run
from services.cli.calls.description import describe
from services.cli.errors import CliError, UnreachableError, UsageError
from tests.support.cli_rig import CallRig, call_rig
from tests.support.eventually import eventually
from tests.support.sample_requests import sample_json
from tests.support.stub_messages import COMMAND_ID, a_batch, a_refusal, an_event, the_end
from tests.support.terminal import ROOT

pytestmark = pytest.mark.slow(15)
CONNECTOR = {"kind": "echo"}
# Requests that need more than ids, or say more.
GIVEN: dict[str, dict[str, Any]] = {
    "CreateAgent": {"agentId": "clock", "connector": CONNECTOR, "labels": {"team": "blue"}},
    "ListAgents": {"pageSize": 5},
    "UpdateAgent": {"agentId": "clock", "displayName": "Clock"},
    "DeleteAgent": {"agentId": "clock", "etag": "7"},
    "StartSession": {"agentId": "clock", "context": {"goal": "to try"}},
    "ListEvents": {"sessionId": "ses-1", "types": ["command.*"]},
    "StreamEvents": {"agentId": "clock", "from": "c7"},
    "AppendEvents": {"sessionId": "ses-1", "events": [{"type": "custom.note", "payload": {"a": 1}}]},
    "SubmitCommand": {"agentId": "clock", "type": "run_tool", "params": {"tool": "t"}, "timeout": 30},
    "BulkSubmitCommands": {"commands": [{"sessionId": "ses-1", "type": "echo", "maxAttempts": 2}]},
    "ListCommands": {"state": ["queued"]},
    "CancelCommand": {"commandId": COMMAND_ID, "mode": "kill"},
    "CancelCommands": {"filter": {"agentId": "clock"}, "dryRun": True},
    "ListDeadLetters": {"reason": ["TOOL_ERROR"]},
    "RequeueDeadLetter": {"commandId": COMMAND_ID, "params": {}},
    "RequeueDeadLetters": {"filter": {"requeued": False}, "dryRun": True},
    "PurgeDeadLetters": {"ids": [COMMAND_ID]},
}
REQUESTS = {method.name: GIVEN.get(method.name, sample_json(method.descriptor.input_type)) for method in all_methods()}
SERVED_BY_THE_RIG = {"GetPrincipal", "GetReadiness"}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[CallRig]:
    async with call_rig(tmp_path) as running:
        running.script.answers["BulkSubmitCommands"] = commands_pb2.BulkSubmitCommandsResponse(
            results=[commands_pb2.BulkSubmitResult(refusal=a_refusal())]
        )
        running.script.answers["StreamEvents"] = two_events
        yield running


async def two_events(request: Any, context: Any) -> AsyncIterator[Message]:
    yield a_batch(an_event(1), an_event(2, payload='{"big": 123456789012345678901234567890, "b": "\x9b"}'))
    yield the_end()


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.name)
async def test_every_method_can_be_called(rig: CallRig, method: Method) -> None:
    request = REQUESTS[method.name]
    printed = await rig.call(method.full_name, request)
    if method.name in SERVED_BY_THE_RIG:
        assert printed[0]["role" if method.name == "GetPrincipal" else "readiness"] in ("admin", "not_ready", "ready")
        return
    heard = rig.script.said(method.name)
    if method.name != "UpdateAgent":
        assert heard == method.read(request)
    answer: Any = rig.script.answers[method.name]
    answers = [one async for one in answer(heard, None)] if method.is_stream else [answer]
    messages = [one(heard) if callable(one) else one for one in answers]
    assert printed == [orjson.loads(orjson.dumps(method.write(message))) for message in messages]


async def test_request_is_read_as_in_rest(rig: CallRig) -> None:
    await rig.call("UpdateAgent", {"agentId": "clock", "displayName": "Clock"})
    update = rig.script.said("UpdateAgent")
    assert (list(update.update_mask.paths), update.agent.HasField("connector")) == (["display_name"], True)
    for word, start in (("start", events_pb2.STREAM_START_BEGINNING), ("now", events_pb2.STREAM_START_NOW)):
        await rig.call("StreamEvents", {"agentId": "clock", "from": word})
        stream = rig.script.said("StreamEvents")
        assert (stream.start, stream.cursor) == (start, "")


@pytest.mark.parametrize(
    ("name", "request_", "field"),
    [("DeleteAgent", {"agentId": "clock"}, "request_id"), ("SubmitCommand", {"agentId": "clock", "type": "echo"}, "")],
)
async def test_request_id_is_the_idempotency_key(rig: CallRig, name: str, request_: dict[str, Any], field: str) -> None:
    await rig.call(name, {**request_, "requestId": "key-1"}, request_id="key-1")
    heard = rig.script.said(name)
    assert (heard if field else heard.command).request_id == "key-1"
    with pytest.raises(UsageError, match="the request has another requestId"):
        await rig.call(name, {**request_, "requestId": "key-2"}, request_id="key-1")
    with pytest.raises(UsageError, match=r"requestId: must match"):
        await rig.call(name, request_, request_id="a key")
    with pytest.raises(UsageError, match=r"AgentService.GetAgent takes no idempotency key"):
        await rig.call("GetAgent", {"agentId": "clock"}, request_id="key-1")


async def test_method_of_both_services_can_be_called_on_either(rig: CallRig) -> None:
    for service in ("session", "command"):
        (printed,) = await rig.call("GetReadiness", {}, service=service)
        assert printed == {"readiness": "ready", "parts": {"broker": "ready", "database": "ready"}}
    with pytest.raises(UsageError, match="GetAgent is a method of session, not of 'command'"):
        await rig.call("GetAgent", {"agentId": "clock"}, service="command")


async def test_error_of_the_service_names_fields_as_rest_does(rig: CallRig) -> None:
    rig.script.answers["SubmitCommand"] = ServiceError(
        Reason.FIELD_INVALID,
        "command.options.not_before: is past (and 1 more)",
        violations=[
            FieldViolation("command.options.not_before", "is past"), FieldViolation("command.params_json", "is large")
        ],
    )  # fmt: skip
    with pytest.raises(CliError) as caught:
        await rig.call("SubmitCommand", {"agentId": "clock", "type": "echo"})
    assert str(caught.value) == "FIELD_INVALID: notBefore: is past (and 1 more)\n  params: is large"
    assert caught.value.exit_code == 1


async def test_call_ends_at_its_timeout(rig: CallRig) -> None:
    async def never(_: Any) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    rig.script.answers["GetAgent"] = never
    with pytest.raises(UnreachableError, match=r"the session service at \S+ did not answer within 0.2 s"):
        await rig.call("GetAgent", {"agentId": "clock"}, timeout="200ms")


async def test_stream_ends_at_its_timeout_without_an_error(rig: CallRig) -> None:
    rig.script.answers["StreamEvents"] = one_event
    assert len(await rig.call("StreamEvents", {"agentId": "clock"}, timeout="500ms")) == 1
    rig.environment["CALLBOARD_SESSION_ADDRESS"] = f"127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match="no session service answers at"):
        await rig.call("StreamEvents", {"agentId": "clock"}, timeout="5s")


async def test_request_comes_from_an_argument_a_file_or_standard_input(rig: CallRig, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('{"agentId": "from-a-file"}')
    for argument, agent_id in (
        ('{"agentId": "typed"}', "typed"),
        (f"@{file}", "from-a-file"),
        ("-", "piped"),
    ):
        done = await rig.run("GetAgent", argument, text='{"agentId": "piped"}')
        assert (done.code, done.error, done.json["agentId"]) == (0, "", agent_id)
        assert done.out.startswith('{\n  "agentId"')
    compact = await rig.run("GetAgent", "--compact", "-", text='{"agentId": "piped"}')
    assert compact.out.startswith('{"agentId":"piped"')


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("GetAgent", "{"), "JSON_INVALID: the body must be JSON: Expecting property name"),
        (("GetAgent", '{"agentId": "\udcff"}'), "JSON_INVALID: the body must be UTF-8; byte 13 is not"),
        (("GetAgent", "[]"), "JSON_INVALID: the body must be a JSON object"),
        (("GetAgent", '{"agentId": "a", "agentId": "b"}'), "JSON_INVALID: agentId: is given twice"),
        (("GetAgent", '{"agentId": "clock", "x": 1}'), "FIELD_INVALID: x: is not a field of this request"),
        (("GetAgent", '{"agentId": 1}'), "FIELD_INVALID: agentId: must be a string"),
        (("AppendEvents", "{}"), "(and 1 more)\n  events: is required"),
        (("GetAgent", "@/missing"), "REQUEST: cannot read /missing"),
        (("GetAgent", "@\x00"), "REQUEST: cannot read"),
        (("ListAgents", "{}", "soon"), "--timeout: 'soon' is not a duration"),
        (("ListAgents", "{}", "0s"), "--timeout: must be more than 0"),
        (("GetSesion", "{}"), "there is no method GetSesion; did you mean SessionService.GetSession"),
        (("getsession", "{}"), "did you mean SessionService.GetSession?"),
        (("SessionService.GetCommand", "{}"), "did you mean CommandService.GetCommand?"),
        (("callboard.sessions.v1.SessionService/Get", "{}"), "did you mean "),
        (("Qqqq", "{}"), "`callboard call --list` shows them all"),
    ],
)
def test_invalid_call_is_rejected_before_it_is_sent(arguments: Sequence[str], says: str) -> None:
    name, request, timeout = (*arguments, "")[:3]
    with pytest.raises(UsageError) as caught:
        run.prepare({"CALLBOARD_KEY": "cb_key"}, name, request, run.CallOptions(timeout=timeout))
    assert (says in str(caught.value), caught.value.exit_code) == (True, 2), str(caught.value)


async def test_error_is_printed_with_its_exit_code(rig: CallRig) -> None:
    nobody, key = f"127.0.0.1:{free_port()}", rig.environment["CALLBOARD_KEY"]
    rig.script.answers["GetAgent"] = ServiceError(Reason.AGENT_NOT_FOUND, "there is no agent \x1b[31m")
    for arguments, environment, code, says in (
        (("GetAgent", '{"agentId": "a"}'), {}, 1, "AGENT_NOT_FOUND: there is no agent \N{REPLACEMENT CHARACTER}[31m"),
        (("GetAgent", b'{"agentId": "\xff"}'), {}, 2, "JSON_INVALID: the body must be UTF-8; byte 13 is not"),
        ((), {}, 2, "`callboard call --list`"),
        (("ListAgents",), {"CALLBOARD_SESSION_ADDRESS": nobody}, 4, f"no session service answers at {nobody}"),
        (("ListAgents",), {"CALLBOARD_KEY": ""}, 1, "no key: set CALLBOARD_KEY"),
        (("ListAgents",), {"CALLBOARD_KEY": "cb_wrong"}, 1, "CREDENTIALS_INVALID"),
        (("ListAgents",), {"CALLBOARD_KEY": key + "\x07"}, 2, "CALLBOARD_KEY: is not an API key"),
    ):
        done = await rig.terminal.run("call", *arguments, **environment)
        assert (done.code, done.out) == (code, ""), (arguments, done)
        assert says in done.error
        assert "Traceback" not in done.error
        assert key not in done.error


async def test_readiness_needs_no_key(rig: CallRig) -> None:
    done = await rig.run("GetReadiness", CALLBOARD_KEY="")
    assert (done.code, done.json["readiness"]) == (0, "ready")


async def test_stream_prints_a_line_for_each_response(rig: CallRig) -> None:
    done = await rig.run("StreamEvents", '{"agentId": "clock"}')
    batch, end = done.out.splitlines()
    assert (done.code, json.loads(batch)["cursor"], json.loads(end)["end"]) == (0, "c2", {})
    assert "123456789012345678901234567890" in batch
    assert "\x9b" not in batch


async def one_event(request: Any, context: Any) -> AsyncIterator[Message]:
    yield a_batch(an_event(1))
    await asyncio.Event().wait()


async def test_ctrl_c_ends_a_stream(rig: CallRig) -> None:
    rig.script.answers["StreamEvents"] = one_event
    process = await rig.terminal.start("call", "StreamEvents", '{"agentId": "clock"}')
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["cursor"] == "c1"
    process.send_signal(signal.SIGINT)
    out, error = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out, error) == (0, b"", b"")
    await eventually(lambda: rig.script.open_streams == 0)


async def test_stream_ends_when_its_output_is_closed(rig: CallRig) -> None:
    rig.script.answers["StreamEvents"] = one_event
    callboard = f"{shlex.quote(sys.executable)} -m services.cli"
    process = await asyncio.create_subprocess_shell(
        f"""( {callboard} call StreamEvents '{{"agentId": "clock"}}'; echo "ended with $?" >&2 ) | head -n 1""",
        cwd=ROOT, env=rig.terminal.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await asyncio.wait_for(process.communicate(), 30)
    assert (json.loads(out)["cursor"], error) == ("c1", b"ended with 0\n")
    await eventually(lambda: rig.script.open_streams == 0)


async def test_methods_are_listed_and_described(rig: CallRig) -> None:
    listed = await rig.run("--list")
    names = [line.split()[0] for line in listed.out.splitlines()]
    assert names == [".".join(method.full_name.split(".")[-2:]) for method in all_methods()]
    described = await rig.run("SubmitCommand", "--describe", CALLBOARD_KEY="")
    assert described.code == 0
    for says in (
        find_method("SubmitCommand").full_name,
        "REST: POST /api/v1/agents/{agentId}/command",
        "Key: operator or admin",
        "  type: string, required, matches ^[a-z]",
        "  maxAttempts: integer, 1 to 25, also called attempts. The maximum number of charged attempts",
        "  priority: enum, high | normal | low.",
        "  Exactly one of agentId and sessionId is required.",
        "  jobId: string. The command's id.",
    ):
        assert says in described.out, says


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.name)
def test_every_method_can_be_described(method: Method) -> None:
    text = "\n".join(describe(method))
    assert method.description in text
    for name in REQUESTS[method.name]:
        assert f"\n  {name}: " in text
