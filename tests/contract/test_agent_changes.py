"""Creating, updating and deleting agents with idempotency keys and etags, over gRPC and REST."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.apis import Api, ApiError, GrpcApi, RestApi, error_of, rest_client
from tests.support.client_calls import start
from tests.support.outcomes import all_of
from tests.support.suite import Suite

REUSED = {"grpc": "ALREADY_EXISTS", "rest": 422}
MISMATCH = {"grpc": "ABORTED", "rest": 412}
EXISTS = {"grpc": "ALREADY_EXISTS", "rest": 409}
MISSING = {"grpc": "NOT_FOUND", "rest": 404}


@pytest.fixture(params=["grpc", "rest"])
def protocol(request: pytest.FixtureRequest) -> str:
    """The API's protocol."""
    return str(request.param)


@pytest.fixture
async def api(suite: Suite, protocol: str) -> AsyncIterator[Api]:
    if protocol == "grpc":
        yield GrpcApi(suite.client())
    else:
        async with rest_client(suite) as http:
            yield RestApi(http)


async def assert_rejected(work: Any, reason: str, status: Any) -> ApiError:
    error = await error_of(work)
    assert (error.reason, error.status) == (reason, status)
    return error


async def assert_mismatch(work: Any, protocol: str, etag: str) -> None:
    """Expects ETAG_MISMATCH with the agent's current etag."""
    error = await assert_rejected(work, "ETAG_MISMATCH", MISMATCH[protocol])
    assert error.metadata["etag"] == etag


# etags


async def test_every_update_changes_the_etag_of_an_agent(api: Api) -> None:
    await api.create_agent("clock", name="one")
    etags = [(await api.agent("clock"))[1]]
    for name in ("two", "three", "three"):
        await api.rename_agent("clock", name)
        etags.append((await api.agent("clock"))[1])
    assert len(set(etags)) == 4
    assert all(etags)


async def test_update_with_an_etag_applies_only_to_that_version(api: Api, protocol: str) -> None:
    await api.create_agent("clock", name="one")
    _, first = await api.agent("clock")
    await api.rename_agent("clock", "two", etag=first)
    _, second = await api.agent("clock")
    await assert_mismatch(api.rename_agent("clock", "three", etag=first), protocol, second)
    assert await api.agent("clock") == ("two", second)
    await api.rename_agent("clock", "three")
    assert (await api.agent("clock"))[0] == "three"


async def test_delete_with_an_etag_applies_only_to_that_version(api: Api, protocol: str) -> None:
    await api.create_agent("clock", name="one")
    _, first = await api.agent("clock")
    await api.rename_agent("clock", "two")
    _, second = await api.agent("clock")
    await assert_mismatch(api.delete_agent("clock", etag=first), protocol, second)
    assert await api.agent("clock") == ("two", second)
    await api.delete_agent("clock", etag=second)
    await assert_rejected(api.agent("clock"), "AGENT_NOT_FOUND", MISSING[protocol])


@pytest.mark.parametrize("etag", ["x", "01", "-1", "1.0", "9" * 30, "9" * 120])
async def test_etag_that_was_never_issued_is_a_mismatch(api: Api, protocol: str, etag: str) -> None:
    await api.create_agent("clock", name="one")
    _, real = await api.agent("clock")
    await assert_mismatch(api.rename_agent("clock", "two", etag=etag), protocol, real)
    await assert_mismatch(api.delete_agent("clock", etag=etag), protocol, real)
    assert await api.agent("clock") == ("one", real)


async def test_etag_of_any_length_is_a_mismatch(suite: Suite) -> None:
    """Only gRPC takes this many: REST takes 128 characters. Python converts no number of more than 4,300 digits."""
    api = GrpcApi(suite.client())
    await api.create_agent("clock", name="one")
    await assert_mismatch(api.rename_agent("clock", "two", etag="9" * 5000), "grpc", (await api.agent("clock"))[1])


async def test_one_of_several_concurrent_updates_with_one_etag_succeeds(api: Api, protocol: str) -> None:
    await api.create_agent("clock", name="one")
    _, etag = await api.agent("clock")
    outcomes = await all_of(*(api.rename_agent("clock", f"name {n}", etag=etag) for n in range(10)))
    errors = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert len(errors) == 9
    assert {(error.reason, error.status) for error in errors} == {("ETAG_MISMATCH", MISMATCH[protocol])}


async def test_all_concurrent_updates_without_an_etag_succeed(suite: Suite, api: Api) -> None:
    await api.create_agent("clock", name="one")
    outcomes = await all_of(*(api.rename_agent("clock", f"name {n}") for n in range(10)))
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert await suite.value("select version from session.agents") == 11


# idempotency keys


async def test_repeated_create_gets_the_first_answer_whatever_became_of_the_agent(api: Api, protocol: str) -> None:
    first = await api.create_agent("clock", "k", "one")
    await api.rename_agent("clock", "two")
    assert await api.create_agent("clock", "k", "one") == first
    await api.delete_agent("clock")
    assert await api.create_agent("clock", "k", "one") == first
    await assert_rejected(api.agent("clock"), "AGENT_NOT_FOUND", MISSING[protocol])
    await assert_rejected(api.create_agent("clock", "k", "other"), "IDEMPOTENCY_KEY_REUSED", REUSED[protocol])


async def test_repeated_update_takes_effect_once_and_gets_the_first_answer(api: Api, protocol: str) -> None:
    await api.create_agent("clock", name="one")
    _, etag = await api.agent("clock")
    first = await api.rename_agent("clock", "two", "k", etag)
    assert await api.rename_agent("clock", "two", "k", etag) == first
    await api.rename_agent("clock", "three")
    assert await api.rename_agent("clock", "two", "k", etag) == first
    assert (await api.agent("clock"))[0] == "three"
    await assert_rejected(api.rename_agent("clock", "four", "k", etag), "IDEMPOTENCY_KEY_REUSED", REUSED[protocol])
    await assert_rejected(api.rename_agent("clock", "two", "k"), "IDEMPOTENCY_KEY_REUSED", REUSED[protocol])


async def test_repeated_delete_takes_effect_once_and_gets_the_first_answer(api: Api, protocol: str) -> None:
    await api.create_agent("clock")
    await api.create_agent("other")
    first = await api.delete_agent("clock", "k")
    assert await api.delete_agent("clock", "k") == first
    await api.create_agent("clock", name="again")
    assert await api.delete_agent("clock", "k") == first
    assert (await api.agent("clock"))[0] == "again"
    await assert_rejected(api.delete_agent("other", "k"), "IDEMPOTENCY_KEY_REUSED", REUSED[protocol])
    assert await api.agent("other")


async def test_idempotency_key_of_a_rejected_change_can_be_used_again(suite: Suite, api: Api, protocol: str) -> None:
    await api.create_agent("clock", name="one")
    await start(suite.client())
    await assert_rejected(api.create_agent("clock", "k"), "AGENT_EXISTS", EXISTS[protocol])
    await assert_rejected(api.rename_agent("clock", "two", "k", "77"), "ETAG_MISMATCH", MISMATCH[protocol])
    await assert_rejected(
        api.delete_agent("clock", "k"), "AGENT_IN_USE", 409 if protocol == "rest" else "FAILED_PRECONDITION"
    )
    await api.create_agent("other", "k")
    await api.rename_agent("clock", "three", "k")
    await api.delete_agent("other", "k")


@pytest.mark.parametrize("operation", ["create_agent", "rename_agent", "delete_agent"])
async def test_concurrent_changes_with_one_key_have_one_effect_and_one_answer(
    suite: Suite, api: Api, operation: str
) -> None:
    if operation != "create_agent":
        await api.create_agent("clock", name="one")
    arguments = {"name": "two"} if operation != "delete_agent" else {}
    answers = await asyncio.gather(*(getattr(api, operation)("clock", key="k", **arguments) for _ in range(10)))
    assert [answer for answer in answers if answer != answers[0]] == []
    versions = [row[0] for row in await suite.rows("select version from session.agents")]
    assert versions == {"create_agent": [1], "rename_agent": [2], "delete_agent": []}[operation]
