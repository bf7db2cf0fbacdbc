"""API keys are looked up once for many calls, cached for a short time, and rejected in doubt."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from libs.errors import Reason, ServiceError
from libs.identity.authenticator import Authenticator
from libs.identity.keys import new_key
from libs.identity.lookups import Lookups
from libs.identity.principal import KeyRecord
from tests.support.eventually import eventually
from tests.support.rpc import KeyRing


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


async def reason_of(authenticator: Authenticator, token: str) -> Reason:
    with pytest.raises(ServiceError) as caught:
        await authenticator.authenticate(token)
    return caught.value.reason


async def opens(authenticator: Authenticator, token: str) -> bool:
    try:
        await authenticator.authenticate(token)
    except ServiceError:
        return False
    return True


async def test_concurrent_calls_with_one_key_share_a_lookup(keys: KeyRing) -> None:
    authenticator, key = Authenticator(keys.find), keys.add("admin")
    found = await asyncio.gather(*(authenticator.authenticate(key.secret_text) for _ in range(50)))
    assert {principal.name for principal in found} == {f"key:{key.key_id}"}
    assert keys.lookups == 1


async def test_cancelled_caller_does_not_affect_others_of_the_same_lookup(keys: KeyRing) -> None:
    answer = asyncio.Event()
    record = keys.records[(key := keys.add("admin")).key_hash]

    async def slow(_: bytes) -> KeyRecord:
        await answer.wait()
        return record

    authenticator = Authenticator(slow)
    first, second = (asyncio.create_task(authenticator.authenticate(key.secret_text)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    answer.set()
    assert (await second).key_id == key.key_id


async def test_unknown_key_is_looked_up_once_and_a_malformed_key_never(keys: KeyRing) -> None:
    authenticator, unknown = Authenticator(keys.find), new_key().secret_text
    for token in (unknown, unknown, "cb_x", "", "x" * 100_000, "cb_\ud800"):
        assert await reason_of(authenticator, token) is Reason.CREDENTIALS_INVALID
    assert keys.lookups == 1


async def test_revoked_key_is_rejected_after_two_seconds(keys: KeyRing) -> None:
    authenticator, key = Authenticator(keys.find), keys.add("admin")
    await authenticator.authenticate(key.secret_text)
    keys.revoke(key)
    began = time.monotonic()

    async def is_refused() -> bool:
        return not await opens(authenticator, key.secret_text)

    await eventually(is_refused)
    assert time.monotonic() - began < 2.5


async def test_key_created_after_its_rejection_is_accepted_soon(keys: KeyRing) -> None:
    authenticator, key = Authenticator(keys.find), keys.add("admin")
    record = keys.records.pop(key.key_hash)
    assert await reason_of(authenticator, key.secret_text) is Reason.CREDENTIALS_INVALID
    keys.records[key.key_hash] = record
    await eventually(lambda: opens(authenticator, key.secret_text), timeout=2)


async def test_expiry_of_a_cached_key_is_checked_on_every_call(keys: KeyRing) -> None:
    expiry = datetime.now(UTC) + timedelta(seconds=0.2)
    authenticator, key = Authenticator(keys.find), keys.add("admin", expires_at=expiry)
    await authenticator.authenticate(key.secret_text)

    async def is_refused() -> bool:
        return not await opens(authenticator, key.secret_text)

    await eventually(is_refused, timeout=1)


async def test_record_of_another_key_is_not_accepted(keys: KeyRing) -> None:
    key = keys.add("admin")
    other = replace(keys.records[key.key_hash], key_hash=b"x" * 32)

    async def wrong(_: bytes) -> KeyRecord:
        return other

    assert await reason_of(Authenticator(wrong), key.secret_text) is Reason.CREDENTIALS_INVALID


async def test_no_key_is_accepted_while_the_database_is_down(keys: KeyRing) -> None:
    authenticator, key = Authenticator(keys.find), keys.add("admin")
    keys.is_down = True
    assert await reason_of(authenticator, key.secret_text) is Reason.DATABASE_UNAVAILABLE
    keys.is_down = False
    assert await opens(authenticator, key.secret_text)


async def test_keys_of_open_streams_are_checked_together(keys: KeyRing) -> None:
    authenticator, cuts = Authenticator(keys.find), list[ServiceError]()
    good, bad = keys.add("admin"), keys.add("viewer")
    principals = [await authenticator.authenticate(key.secret_text) for key in (good, bad)]
    keys.revoke(bad)
    never = list[ServiceError]()
    with authenticator.watch(principals[0], never.append), authenticator.watch(principals[1], cuts.append):
        await authenticator.check_watched()
    assert [error.reason for error in cuts] == [Reason.CREDENTIALS_INVALID]
    assert not never
    asked = keys.lookups
    await authenticator.check_watched()
    assert keys.lookups == asked


async def test_secrets_are_in_no_repr(keys: KeyRing) -> None:
    key = keys.add("admin")
    principal = await Authenticator(keys.find).authenticate(key.secret_text)
    assert str(key.key_hash) not in repr(principal) + repr(keys.records[key.key_hash])


async def test_lookups_cache_the_most_recently_used_keys() -> None:
    lookups, asked = Lookups[bytes](2, 60), []

    async def get(key: bytes) -> None:
        async def ask() -> bytes:
            asked.append(key)
            return key

        assert await lookups.get(key, ask) == key

    for key in (b"a", b"b", b"a", b"c", b"a", b"b"):
        await get(key)
    assert asked == [b"a", b"b", b"c", b"b"]
