"""What a real server does for every call before and after its handler."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from callboard.agents.v1 import agents_pb2, agents_pb2_grpc
from callboard.auth.v1 import auth_pb2
from libs.errors import FieldViolation, Reason, ServiceError
from libs.identity.keys import new_key
from libs.rpc import ServerLimits, open_channel, service_error_from_rpc
from tests.support.rpc import METHODS, TRIAL, TrialServer, ask, trial_server


@pytest.fixture
async def served() -> AsyncIterator[TrialServer]:
    async with trial_server() as server:
        yield server


async def call(served: TrialServer, name: str, token: str | None, agent_id: str = "a", **options: Any) -> list[str]:
    """Calls a method of any arity and returns the ids of its responses."""
    asks_many, answers_many, _ = METHODS[name]
    request = ask(agent_id)
    made = served.method(name, token)(iter([request]) if asks_many else request, **options)
    if answers_many:
        return [response.agent.agent_id async for response in made]
    return [(await made).agent.agent_id]


async def refused(
    served: TrialServer, name: str, token: str | None, agent_id: str = "a", **options: Any
) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(served, name, token, agent_id, **options)
    return service_error_from_rpc(caught.value)


ARITIES = ["Change", "Follow", "Collect", "Talk"]


@pytest.mark.parametrize("name", ARITIES)
async def test_key_with_the_required_role_is_passed_to_the_handler(served: TrialServer, name: str) -> None:
    key = served.keys.add("operator")
    assert await call(served, name, key.secret_text)
    (caller,) = served.trial.callers
    assert (caller.tenant_id, caller.principal, caller.role) == ("acme", f"key:{key.key_id}", auth_pb2.ROLE_OPERATOR)
    assert caller.address == "127.0.0.1"


@pytest.mark.parametrize("name", ARITIES)
async def test_call_without_a_key_is_rejected(served: TrialServer, name: str) -> None:
    assert (await refused(served, name, None)).reason is Reason.CREDENTIALS_MISSING
    assert not served.trial.callers


@pytest.mark.parametrize("name", ARITIES)
@pytest.mark.parametrize(
    "token",
    ["", "nonsense", "cb_short_x", new_key().secret_text, "cb_" + "a" * 5000],
    ids=["empty", "nonsense", "short", "unknown", "long"],
)
async def test_wrong_key_is_rejected(served: TrialServer, name: str, token: str) -> None:
    assert (await refused(served, name, token)).reason is Reason.CREDENTIALS_INVALID
    assert not served.trial.callers


@pytest.mark.parametrize("header", ["Basic YTpi", "bearer", "Bearer", "key"])
async def test_scheme_other_than_bearer_is_rejected(served: TrialServer, header: str) -> None:
    error = await refused(served, "Get", None, metadata=(("authorization", header),))
    assert error.reason is Reason.CREDENTIALS_INVALID


@pytest.mark.parametrize("name", ["Change", "Collect", "Talk"])
async def test_viewer_cannot_call_a_method_of_operators(served: TrialServer, name: str) -> None:
    error = await refused(served, name, served.key("viewer"))
    assert (error.reason, error.metadata) == (Reason.ROLE_REQUIRED, {"required_role": "operator"})
    assert not served.trial.callers


async def test_method_without_a_role_is_rejected_for_everyone(served: TrialServer) -> None:
    assert (await refused(served, "Forbidden", served.key("admin"))).reason is Reason.ROLE_REQUIRED
    assert (await refused(served, "Forbidden", None)).reason is Reason.CREDENTIALS_MISSING


async def test_expired_and_revoked_keys_are_rejected(served: TrialServer) -> None:
    past = served.keys.add("admin", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = served.keys.add("admin", revoked=True)
    for key in (past, revoked):
        assert (await refused(served, "Get", key.secret_text)).reason is Reason.CREDENTIALS_INVALID


async def test_key_that_cannot_be_looked_up_is_rejected(served: TrialServer) -> None:
    key = served.key("admin")
    served.keys.is_down = True
    assert (await refused(served, "Get", key)).reason is Reason.DATABASE_UNAVAILABLE
    assert not served.trial.callers


@pytest.mark.parametrize("name", ARITIES)
async def test_field_that_breaks_its_rule_is_named(served: TrialServer, name: str) -> None:
    error = await refused(served, name, served.key("operator"), "no spaces")
    assert error.reason is Reason.FIELD_INVALID
    (violation,) = error.violations
    assert violation.field == "agent_id"
    assert "does not match" in violation.rule


async def raw_refused(served: TrialServer, name: str, raw: bytes) -> ServiceError:
    asks_many, answers_many, _ = METHODS[name]
    async with open_channel(served.server.address, token=served.key("operator")) as channel:
        kind = f"{'stream' if asks_many else 'unary'}_{'stream' if answers_many else 'unary'}"
        made = getattr(channel, kind)(f"/{TRIAL}/{name}")(iter([raw]) if asks_many else raw)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [one async for one in made] if answers_many else await made
    return service_error_from_rpc(caught.value)


@pytest.mark.parametrize("name", ARITIES)
async def test_unknown_field_is_rejected(served: TrialServer, name: str) -> None:
    raw = ask("a").SerializeToString() + b"\x9a\x06\x03abc"
    error = await raw_refused(served, name, raw)
    assert error.reason is Reason.FIELD_INVALID
    assert error.violations == (FieldViolation("99", "is not a field of the contract"),)


@pytest.mark.parametrize("name", ARITIES)
@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x02\xc3\x28"], ids=["garbage", "broken text"])
async def test_bytes_that_are_not_the_message_are_rejected(served: TrialServer, name: str, raw: bytes) -> None:
    assert (await raw_refused(served, name, raw)).reason is Reason.FIELD_INVALID


async def test_too_large_request_is_rejected_with_the_limit() -> None:
    async with trial_server(ServerLimits(max_request_bytes=1000)) as served:
        error = await refused(served, "Get", served.key("viewer"), "x" * 1500)
        assert (error.reason, error.metadata) == (Reason.PAYLOAD_TOO_LARGE, {"limit_bytes": "1000"})
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # grpc itself does not read twice the limit
            await call(served, "Get", served.key("viewer"), "x" * 3000)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_request_that_is_too_large_when_decompressed_is_rejected(served: TrialServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(served, "Get", served.key("viewer"), "x" * 20_000_000, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("name", ["Get", "Follow"])
async def test_service_error_becomes_a_status_with_one_error_info(served: TrialServer, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(served, name, served.key("viewer"), "absent")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(caught.value)
    assert status is not None
    (detail,) = status.details
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    assert (info.reason, info.domain) == ("AGENT_NOT_FOUND", "callboard.dev")


@pytest.mark.parametrize("name", ["Get", "Follow", "Talk"])
async def test_internal_error_is_answered_with_a_constant_text(served: TrialServer, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(served, name, served.key("operator"), "crash", metadata=(("x-request-id", "r-1"),))
    error = service_error_from_rpc(caught.value)
    assert (error.reason, error.metadata) == (Reason.INTERNAL, {"request_id": "r-1"})
    assert "secret" not in f"{caught.value.details()}{caught.value.trailing_metadata()}"


@pytest.mark.parametrize("way", ["abort", "abort-by-number"])
async def test_handler_can_abort_a_call_itself(way: str) -> None:
    registry = CollectorRegistry()
    async with trial_server(registry=registry) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(served, "Get", served.key("viewer"), way)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "said by the handler")
    labels = {"method": f"/{TRIAL}/Get", "code": "DATA_LOSS"}
    assert registry.get_sample_value("callboard_rpc_calls_total", labels) == 1


async def test_deadline_of_the_caller_applies(served: TrialServer) -> None:
    assert (await refused(served, "Get", served.key("viewer"), "hang", timeout=0.2)).reason is Reason.DEADLINE_EXCEEDED


async def test_unreachable_server_is_service_unavailable() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents_pb2_grpc.AgentServiceStub(channel).DeleteAgent(agents_pb2.DeleteAgentRequest())
    assert service_error_from_rpc(caught.value).reason is Reason.SERVICE_UNAVAILABLE


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("no spaces", False), ("x" * 129, False)])
async def test_request_id_is_kept_only_if_it_is_valid(served: TrialServer, given: str, kept: bool) -> None:  # noqa: FBT001
    await call(served, "Get", served.key("viewer"), metadata=(("x-request-id", given),))
    request_id = served.trial.callers[0].request_id
    assert (request_id == given) is kept
    assert request_id


@pytest.mark.parametrize(
    ("trusted", "said", "seen"),
    [
        (("127.0.0.0/8",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.0/8",), "2001:DB8::1", "2001:db8::1"),
        (("127.0.0.0/8",), "not an address", "127.0.0.1"),
        (("10.0.0.0/8",), "203.0.113.9", "127.0.0.1"),
    ],
)
async def test_only_a_trusted_peer_can_forward_another_address(trusted: tuple[str], said: str, seen: str) -> None:
    async with trial_server(trusted_proxies=trusted) as served:
        await call(served, "Get", served.key("viewer"), metadata=(("x-callboard-client-address", said),))
        assert served.trial.callers[0].address == seen


async def test_health_needs_no_key(served: TrialServer) -> None:
    async with open_channel(served.server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", TRIAL):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        await served.server.report(serving=False)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=TRIAL))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_reflection_needs_a_key(served: TrialServer) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    async def names(token: str | None) -> set[str]:
        async with open_channel(served.server.address, token=token) as channel:
            answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
            return {found.name async for one in answers for found in one.list_services_response.service}

    assert TRIAL in await names(served.key("viewer"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await names(None)
    assert service_error_from_rpc(caught.value).reason is Reason.CREDENTIALS_MISSING


async def test_calls_are_counted_by_method_and_code() -> None:
    registry = CollectorRegistry()
    async with trial_server(registry=registry) as served:
        await call(served, "Get", served.key("viewer"))
        await refused(served, "Get", None)
    for code in ("OK", "UNAUTHENTICATED"):
        labels = {"method": f"/{TRIAL}/Get", "code": code}
        assert registry.get_sample_value("callboard_rpc_calls_total", labels) == 1


async def test_method_that_is_not_served_is_unimplemented(served: TrialServer) -> None:
    async with open_channel(served.server.address, token=served.key("admin")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents_pb2_grpc.AgentServiceStub(channel).DeleteAgent(agents_pb2.DeleteAgentRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
