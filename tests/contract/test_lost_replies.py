"""The database commits and its reply is lost. The caller gets an error and can repeat the call (failures, row 20)."""

from collections.abc import Callable, Iterator

import pytest

from libs.failpoints import FailpointSettings, arm
from libs.rpc.stubs import Stubs
from tests.support.client_calls import CANCELLED, SUCCEEDED, append, cancel, ended, get_command, start, submit
from tests.support.outcomes import rejected
from tests.support.stored_events import events_of, types_of
from tests.support.suite import Suite

Losing = Callable[[str], None]


@pytest.fixture
def losing() -> Iterator[Losing]:
    """Loses the replies to one statement; an empty name stops that."""

    def lose(statement: str) -> None:
        rules = f"{statement}=lose_reply" if statement else ""
        arm(FailpointSettings.model_validate({"CALLBOARD_FAILPOINTS": rules}))

    yield lose
    lose("")


async def test_submit_whose_reply_was_lost_is_stored_once(
    suite: Suite, client: Stubs, session_id: str, losing: Losing
) -> None:
    """The error says that the outcome is unknown. A repeated call with the same key gets the stored command."""
    losing("commands.submit")
    with rejected("DATABASE_UNAVAILABLE") as caught:
        await submit(client, request_id="k")
    assert "the same key" in caught.value.message
    losing("")
    again = await submit(client, request_id="k")
    assert (await ended(client, again.command_id)).state == SUCCEEDED
    assert await suite.value("select count(*) from command.commands") == 1
    assert types_of(await events_of(client, session_id)).count("command.enqueued") == 1


async def test_cancel_whose_reply_was_lost_takes_effect_once(client: Stubs, session_id: str, losing: Losing) -> None:
    waiting = await submit(client, "hang")
    losing("commands.cancel")
    with rejected("DATABASE_UNAVAILABLE"):
        await cancel(client, waiting.command_id)
    losing("")
    assert (await ended(client, waiting.command_id)).state == CANCELLED
    assert (await get_command(client, (await cancel(client, waiting.command_id)).command_id)).state == CANCELLED
    assert types_of(await events_of(client, session_id)).count("command.cancelled") == 1


async def test_start_whose_reply_was_lost_makes_one_session(suite: Suite, client: Stubs, losing: Losing) -> None:
    losing("sessions.start")
    with rejected("DATABASE_UNAVAILABLE"):
        await start(client, request_id="k")
    losing("")
    session = await start(client, request_id="k")
    assert types_of(await events_of(client, session.session_id)) == ["session.started"]
    assert await suite.value("select count(*) from session.sessions") == 1


async def test_append_whose_reply_was_lost_is_stored_once(client: Stubs, session_id: str, losing: Losing) -> None:
    losing("events.append")
    with rejected("DATABASE_UNAVAILABLE"):
        await append(client, session_id, 1, type="custom.note", request_id="k")
    losing("")
    await append(client, session_id, 1, type="custom.note", request_id="k")
    assert types_of(await events_of(client, session_id)).count("custom.note") == 1
