"""Server-Sent Events: what a stream contains, where it starts, how it ends, and how streams affect each other."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from callboard.events.v1 import events_pb2
from libs.errors import Reason, ServiceError
from tests.support.eventually import eventually
from tests.support.gateway_rig import Rig, gateway_rig
from tests.support.stub_messages import ENDED, LIVE, a_batch, a_keepalive, an_event, the_end

SESSION, AGENT = "/api/v1/agent-sessions/ses-1/events", "/api/v1/agents/clock/events"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with gateway_rig() as made:
        yield made


def _plays(*responses: events_pb2.StreamEventsResponse, then: Any = None, state: Any = LIVE) -> Any:
    async def play(_: Any, context: Any) -> AsyncIterator[events_pb2.StreamEventsResponse]:
        await context.send_initial_metadata(state)
        for response in responses:
            yield response
        if isinstance(then, ServiceError):
            raise then
        if then == "idle":
            await asyncio.Event().wait()

    return play


async def _lines(answer: Any, count: int) -> list[str]:
    lines: list[str] = []
    async with asyncio.timeout(10):
        async for line in answer.aiter_lines():
            lines.append(line)
            if len(lines) == count:
                break
    return lines


async def test_each_event_has_an_id_a_type_and_one_line_of_json(rig: Rig) -> None:
    rig.script.answers["StreamEvents"] = _plays(
        a_batch(an_event(1, "session.started"), an_event(2, payload='{\n "text": "a\\nb"\r\n}')), the_end()
    )
    async with rig.stream(SESSION) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        text = (await answer.aread()).decode()
    first, second, rest = text.split("\n\n")
    assert first.split("\n")[:2] == ["id: c1", "event: session.started"]
    ident, kind, data = second.split("\n")
    assert (ident, kind, rest) == ("id: c2", "event: custom.note", "")
    listed = (await rig.call("GET", SESSION)).json()["events"][0]
    sent = orjson.loads(data.removeprefix("data: "))
    assert set(sent) == set(listed)
    assert (sent["seq"], sent["payload"]) == (2, {"text": "a\nb"})


async def test_headers_are_sent_before_the_first_event(rig: Rig) -> None:
    async with asyncio.timeout(5), rig.stream(AGENT) as answer:
        assert answer.status_code == 200


async def test_keepalive_has_an_id_only_when_the_cursor_moved(rig: Rig) -> None:
    rig.script.answers["StreamEvents"] = _plays(
        a_batch(an_event(1)), a_keepalive("c1"), a_keepalive("c9"), a_keepalive("c9"), the_end()
    )
    async with rig.stream(SESSION) as answer:
        text = (await answer.aread()).decode()
    assert text.split("\n\n")[1:] == [": keepalive", "id: c9", ": keepalive", ""]


async def test_keepalives_are_sent_while_the_service_sends_nothing() -> None:
    async with gateway_rig(keepalive=0.05) as rig, rig.stream(AGENT) as answer:
        assert await _lines(answer, 4) == [": keepalive", "", ": keepalive", ""]


@pytest.mark.parametrize(
    ("query", "header", "cursor", "start"),
    [
        ("", None, "", 0),
        ("?from=start", None, "", 1),
        ("?from=now", None, "", 2),
        ("?from=c7", None, "c7", 0),
        ("?from=start", "c8", "c8", 1),
        ("?from=c7", "c8", "c8", 0),
    ],
)
@pytest.mark.parametrize("path", [SESSION, AGENT])
async def test_stream_starts_after_last_event_id_or_where_from_says(
    rig: Rig, path: str, query: str, header: str | None, cursor: str, start: int
) -> None:
    headers = {"Last-Event-ID": header} if header else {}
    async with rig.stream(f"{path}{query}", headers=headers):
        said = rig.script.said("StreamEvents")
    assert (said.cursor, said.start) == (cursor, start)
    assert said.WhichOneof("scope") == ("session_id" if path == SESSION else "agent_id")
    assert rig.script.last("StreamEvents").metadata["authorization"] == rig.auth("viewer")["Authorization"]


async def test_stream_passes_its_filters_to_the_service(rig: Rig) -> None:
    async with rig.stream(f"{AGENT}?types=command.*,custom.a&types=iteration&levels=warn,error"):
        said = rig.script.said("StreamEvents")
    assert (list(said.types), list(said.levels)) == (["command.*", "custom.a", "iteration"], [2, 3])


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        (AGENT, "*/*", "text/event-stream"),
        (SESSION, "*/*", "text/event-stream"),
        (SESSION, "application/json", "application/json"),
        (f"{SESSION}?pageSize=10", "*/*", "application/json"),
    ],
)
async def test_accept_header_and_page_size_choose_between_stream_and_page(
    rig: Rig, path: str, accept: str, kind: str
) -> None:
    async with rig.stream(path, headers={"Accept": accept}) as answer:
        assert answer.headers["content-type"].startswith(kind)


async def test_resumed_stream_that_has_ended_gets_204(rig: Rig) -> None:
    rig.script.answers["StreamEvents"] = _plays(the_end(), state=ENDED)
    async with rig.stream(SESSION, headers={"Last-Event-ID": "c6"}) as answer:
        assert answer.status_code == 204
        assert await answer.aread() == b""
    await eventually(lambda: rig.script.open_streams == 0)


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Reason.SESSION_NOT_FOUND, 404), (Reason.CURSOR_EXPIRED, 410), (Reason.CURSOR_INVALID, 400)],
)
async def test_error_before_the_stream_opens_is_a_problem_document(rig: Rig, reason: Reason, status: int) -> None:
    rig.script.answers["StreamEvents"] = ServiceError(reason, "no", metadata={"oldest_cursor": "c3"})
    async with rig.stream(f"{SESSION}?from=c1") as answer:
        assert answer.status_code == status
        await answer.aread()
    problem = answer.json()
    assert (problem["reason"], problem["oldestCursor"]) == (reason, "c3")


async def test_invalid_cursor_is_reported_as_parameter_from(rig: Rig) -> None:
    rig.script.answers["StreamEvents"] = ServiceError(Reason.CURSOR_INVALID, "the cursor is none of ours")
    async with rig.stream(f"{AGENT}?from=nope") as answer:
        await answer.aread()
    assert answer.json()["errors"][0]["field"] == "from"


@pytest.mark.parametrize("query", ["pageSize=5", "pageToken=x", "nope=1", "levels=loud", "from=a&from=b"])
async def test_invalid_parameter_of_a_stream_gets_400(rig: Rig, query: str) -> None:
    async with rig.stream(f"{SESSION}?{query}") as answer:
        assert answer.status_code == 400


async def test_broken_stream_ends_so_that_its_client_resumes(rig: Rig) -> None:
    then = ServiceError(Reason.SHUTTING_DOWN, "resume elsewhere", metadata={"cursor": "c1"})
    rig.script.answers["StreamEvents"] = _plays(a_batch(an_event(1)), then=then)
    async with rig.stream(SESSION) as answer:
        text = (await answer.aread()).decode()
    assert text.startswith("id: c1\n")
    assert text.endswith(": SHUTTING_DOWN\n\n")


async def test_service_stream_ends_when_the_client_disconnects(rig: Rig) -> None:
    async with rig.stream(AGENT):
        await eventually(lambda: rig.script.open_streams == 1)
    await eventually(lambda: rig.script.open_streams == 0)


async def test_slow_client_does_not_affect_others() -> None:
    async def flood(_: Any, context: Any) -> AsyncIterator[events_pb2.StreamEventsResponse]:
        await context.send_initial_metadata(LIVE)
        while True:
            yield a_batch(an_event(1, payload='{"x":"' + "y" * 60_000 + '"}'))

    async with gateway_rig(write_deadline=0.3) as rig:
        rig.script.answers["StreamEvents"] = flood
        host, _, port = rig.address.rpartition(":")
        _reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(
            f"GET {AGENT} HTTP/1.1\r\nHost: x\r\nAuthorization: {rig.auth()['Authorization']}\r\n\r\n".encode()
        )
        await eventually(lambda: rig.script.open_streams == 1)
        assert (await rig.call("GET", "/api/v1/agents")).status_code == 200
        await eventually(lambda: rig.script.open_streams == 0)
        writer.transport.abort()


async def test_stream_over_the_limit_gets_429() -> None:
    async with gateway_rig(most_streams=1) as rig, rig.stream(AGENT), rig.stream(AGENT) as second:
        assert second.status_code == 429
        assert second.headers["retry-after"] == "1"


async def test_shutdown_ends_streams_at_once_and_lets_calls_finish(rig: Rig) -> None:
    release, entered = asyncio.Event(), asyncio.Event()
    slow = rig.script.answers["GetAgent"]

    async def wait_for_it(request: Any) -> Any:
        entered.set()
        await release.wait()
        return slow(request)

    rig.script.answers["GetAgent"] = wait_for_it
    calling = asyncio.create_task(rig.call("GET", "/api/v1/agents/clock"))
    async with rig.stream(AGENT) as one, rig.stream(SESSION) as two:
        await entered.wait()
        began = time.monotonic()
        rig.stop.set()
        assert await one.aread() == await two.aread() == b""  # an orderly end
        assert time.monotonic() - began < 1
    assert not calling.done()
    release.set()
    assert (await calling).status_code == 200
    await asyncio.wait_for(rig.serving, 5)


async def test_shutdown_does_not_wait_for_a_call_that_hangs() -> None:
    async with gateway_rig(drain=1) as rig:
        entered = asyncio.Event()

        async def hang(_: Any) -> None:
            entered.set()
            await asyncio.Event().wait()

        rig.script.answers["GetAgent"] = hang
        calling = asyncio.create_task(rig.call("GET", "/api/v1/agents/clock"))
        await entered.wait()
        rig.stop.set()
        await asyncio.wait_for(rig.serving, 5)
        calling.cancel()
        await asyncio.wait({calling})


async def test_port_in_use_is_reported() -> None:
    async with gateway_rig() as rig:
        with pytest.raises(OSError, match="is the port taken"):
            async with gateway_rig(http_port=int(rig.address.rpartition(":")[2])):
                pass
