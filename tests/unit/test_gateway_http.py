"""The pure code of the gateway: problems, the router, queries, frames and the table of routes."""

import orjson
import pytest
from google.protobuf.message_factory import GetMessageClass

from callboard.events.v1 import events_pb2
from libs.contract import all_methods
from libs.errors import FieldViolation, Reason, ServiceError
from services.gateway.http.problems import problem
from services.gateway.http.router import Router
from services.gateway.rest.requests import read_query
from services.gateway.rest.table import OVERRIDES, routes
from services.gateway.sse.frames import frames


def test_problem_says_when_to_retry() -> None:
    error = ServiceError(Reason.RATE_LIMITED, "slow down", metadata={"retry_after_seconds": "7"})
    response = problem(error, "/x")
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert orjson.loads(response.body)["type"] == "urn:callboard:problem:rate-limited"


def test_metadata_does_not_override_fields_of_a_problem() -> None:
    error = ServiceError(Reason.AGENT_EXISTS, "taken", metadata={"status": "x", "detail": "y", "agent_id": "z"})
    body = orjson.loads(problem(error, "/x").body)
    assert (body["status"], body["detail"], body["agentId"]) == (409, "taken", "z")


def test_frames_are_one_line_each() -> None:
    event = events_pb2.Event(
        event_id="e", seq=1, type="custom.a", level=events_pb2.EVENT_LEVEL_INFO, payload_json='{\r\n"a":\n1}'
    )
    batch = events_pb2.EventBatch(events=[events_pb2.StreamedEvent(event=event, cursor="c")])
    ident, kind, data, *rest = frames(batch).split(b"\n")
    assert (ident, kind, rest) == (b"id: c", b"event: custom.a", [b"", b""])
    assert orjson.loads(data.removeprefix(b"data: "))["payload"] == {"a": 1}
    assert b"\r" not in data


def test_query_is_read_strictly() -> None:
    lists = {"state": True, "label": False}
    assert read_query(b"state=init,running&state=failed&label=a:b,c&pageSize=7", lists) == {
        "state": ["init", "running", "failed"], "label": ["a:b,c"], "pageSize": "7"
    }  # fmt: skip
    for text in (b"pageSize=7&pageSize=8", b"mode=%ff", b"mode=\xff", b"mode=%00", b"&".join([b"a=b"] * 201)):
        with pytest.raises(ServiceError):
            read_query(text, lists)


def test_router_prefers_literals_to_parameters() -> None:
    router: Router[str] = Router()
    for method, path in (("GET", "/a/{id}"), ("POST", "/a/{id}"), ("GET", "/a/{id}/b"), ("GET", "/a/new/b")):
        router.add(method, path, f"{method} {path}")
    found = router.find(b"/a/x%2Fy")
    assert found is not None
    assert (dict(found.targets), found.parameters) == (
        {"GET": "GET /a/{id}", "POST": "POST /a/{id}"}, {"id": "x/y"}
    )  # fmt: skip
    assert router.find(b"/a") is router.find(b"/a/") is router.find(b"/a/x/c") is router.find(b"/a/%ff") is None
    with pytest.raises(ValueError, match="twice"):
        router.add("GET", "/a/{id}", "x")


@pytest.mark.parametrize("path", ["/a/{other}", "/a/{other}/b", "/a/{id}/b/{id}"])
def test_router_rejects_another_name_for_the_parameter_of_a_place(path: str) -> None:
    router: Router[str] = Router()
    router.add("GET", "/a/{id}/b/{part}", "first")
    with pytest.raises(ValueError, match=r"names \{(other|id)\} what another path names \{(id|part)\}"):
        router.add("POST", path, "second")
    found = router.find(b"/a/1/b/2")
    assert found is not None
    assert found.parameters == {"id": "1", "part": "2"}


def test_every_operation_of_the_contract_has_one_route() -> None:
    ids = [route.operation.id for route in routes()]
    assert sorted(ids) == sorted({one.id for method in all_methods() for one in method.operations})
    assert set(ids) >= OVERRIDES.keys()


def test_error_of_a_whole_request_names_no_header() -> None:
    error = ServiceError(Reason.FIELD_INVALID, "x", violations=[FieldViolation("", "is contradictory")])
    for route in routes():
        message = GetMessageClass(route.operation.method.input_type)()
        assert route.in_rest_words(error, message).message == "is contradictory"
