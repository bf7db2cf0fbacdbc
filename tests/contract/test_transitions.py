"""The guard that holds the database of every contract test to the models' tables of transitions works."""

import psycopg
import pytest

from libs.rpc.stubs import Stubs
from tests.support.client_calls import SUCCEEDED, ended, submit
from tests.support.suite import Suite


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("update command.commands set state = 'queued', finished_at = null", "succeeded to queued"),
        ("update command.commands set finished_at = null", "state succeeded with the end"),
        ("update session.sessions set state = 'completed', ended_at = now()", "active to completed"),
    ],
)
async def test_transition_that_no_model_allows_fails(
    suite: Suite, client: Stubs, session_id: str, statement: str, problem: str
) -> None:
    command = await submit(client, "echo")
    assert (await ended(client, command.command_id)).state == SUCCEEDED
    with pytest.raises(psycopg.errors.RaiseException, match=problem):
        await suite.rows(statement)
