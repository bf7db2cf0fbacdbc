"""Dead letters are listed, requeued once and purged (C7)."""

from typing import Any

from callboard.commands.v1.commands_pb2 import (
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    PurgeDeadLetterRequest,
)
from callboard.errors.v1 import errors_pb2
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest, StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import FAILED, ended, get_command, start
from tests.support.dead_letters import make_dead_letter, requeue
from tests.support.outcomes import all_of, rejected
from tests.support.suite import Suite


async def test_dead_letter_is_requeued_once_in_the_live_session(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    session = (await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))).session
    outcomes = await all_of(*(requeue(client, dead, key) for key in ("", "k1", "k2", "", "k1")))
    made = {o.command_id for o in outcomes if not isinstance(o, Exception)}
    assert len(made) == 1
    assert {getattr(o, "reason", "") for o in outcomes} == {"", "DEAD_LETTER_REQUEUED"}
    (again,) = made
    command = await ended(client, again)
    assert (command.requeued_from, command.session_id, command.type) == (dead, session.session_id, "fail")
    dead_letter = (await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=dead))).dead_letter
    assert dead_letter.requeued_as == again
    for key in ("", "k3"):
        with rejected("DEAD_LETTER_REQUEUED"):
            await requeue(client, dead, key)
    assert (await get_command(client, dead)).state == FAILED


async def test_repeated_requeue_with_a_key_gets_the_same_answer(client: Stubs, session_id: str) -> None:
    dead, other = await make_dead_letter(client), await make_dead_letter(client)
    first = await requeue(client, dead, "key")
    assert await requeue(client, dead, "key") == first
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await requeue(client, other, "key")


async def test_requeue_rejected_without_a_live_session_can_be_repeated_later(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    with rejected("SESSION_NOT_ACTIVE"):
        await requeue(client, dead)
    await start(client)
    assert (await requeue(client, dead)).command_id != dead


async def test_dead_letters_are_listed_newest_first_and_purged(suite: Suite, client: Stubs, session_id: str) -> None:
    ids = [await make_dead_letter(client, code=code) for code in ("TOOL_ERROR", "TOOL_NOT_FOUND", "TOOL_ERROR")]

    async def listed(**fields: Any) -> list[str]:
        page = await client.dead_letters.ListDeadLetters(ListDeadLettersRequest(**fields))
        return [one.command.command_id for one in page.dead_letters]

    assert await listed() == ids[::-1]
    assert await listed(reason=errors_pb2.ERROR_REASON_TOOL_ERROR) == [ids[2], ids[0]]
    assert await listed(agent_id="clock", session_id=session_id, type="fail") == ids[::-1]
    assert await listed(type="echo") == []
    first = await client.dead_letters.ListDeadLetters(ListDeadLettersRequest(page_size=2))
    assert await listed(page_size=2, page_token=first.next_page_token) == ids[:1]
    stranger = suite.client(suite.new_key(tenant="globex"))
    with rejected("DEAD_LETTER_NOT_FOUND"):
        await requeue(stranger, ids[0])
    with rejected("DEAD_LETTER_NOT_FOUND"):
        await stranger.dead_letters.PurgeDeadLetter(PurgeDeadLetterRequest(command_id=ids[0]))
    await client.dead_letters.PurgeDeadLetter(PurgeDeadLetterRequest(command_id=ids[0]))
    with rejected("DEAD_LETTER_NOT_FOUND"):
        await client.dead_letters.PurgeDeadLetter(PurgeDeadLetterRequest(command_id=ids[0]))
    with rejected("DEAD_LETTER_NOT_FOUND"):
        await requeue(client, ids[0])
    assert await listed() == [ids[2], ids[1]]
    assert (await get_command(client, ids[0])).state == FAILED
