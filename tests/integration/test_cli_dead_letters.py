"""`callboard dlq` as a user runs it, with a running suite."""

import json
from pathlib import Path

import orjson
import pytest

from callboard.commands.v1.commands_pb2 import GetDeadLetterRequest
from libs.contract import write_message
from libs.embedded.ports import free_port
from libs.rpc.stubs import Stubs
from tests.support.client_calls import SUCCEEDED, ended, get_command, stop
from tests.support.dead_letters import listed, make_dead_letter, make_dead_letters, requeue, successor
from tests.support.suite import Suite
from tests.support.suite_fixtures import broker_url, client, command_replicas, executor, session_id, suite
from tests.support.terminal import Done, Terminal

__all__ = ["broker_url", "client", "command_replicas", "executor", "session_id", "suite"]
pytestmark = pytest.mark.slow(15)
NOWHERE = "00000000-0000-7000-8000-000000000000"


class DeadLetterTerminal(Terminal):
    """Runs `callboard dlq`."""

    async def dlq(self, *arguments: str, text: str = "", **environment: str) -> Done:
        return await self.run("dlq", *arguments, text=text, **environment)


@pytest.fixture
def terminal(suite: Suite, tmp_path: Path) -> DeadLetterTerminal:
    environment = {"CALLBOARD_COMMAND_ADDRESS": suite.command_addresses[0], "CALLBOARD_KEY": suite.key}
    return DeadLetterTerminal({"CALLBOARD_HOME": str(tmp_path), **environment})


async def test_dead_letters_are_listed_by_filters_as_a_table_and_as_json(
    terminal: DeadLetterTerminal, client: Stubs, session_id: str
) -> None:
    empty = await terminal.dlq("list")
    assert (empty.code, empty.out) == (0, "no dead letters match\n")
    error = await make_dead_letter(client, message="no \x1b[31mluck")
    missing = await make_dead_letter(client, code="TOOL_NOT_FOUND")
    table = await terminal.dlq("list")
    assert table.code == 0, table.error
    first, second, third = table.out.splitlines()
    assert first.split()[:4] == ["ID", "AGENT", "TYPE", "REASON"]
    assert second.startswith(missing)
    assert third.startswith(error)
    assert "\x1b" not in table.out
    listed = (await terminal.dlq("list", "--reason", "tool_error", "--agent", "clock", "--after", "1h", "--json")).json
    assert [one["id"] for one in listed["deadLetters"]] == [error]
    assert listed["deadLetters"][0]["command"]["error"]["message"] == "no \x1b[31mluck"
    page = (await terminal.dlq("list", "--limit", "1", "--json")).json
    rest = (await terminal.dlq("list", "--page-token", page["nextPageToken"], "--json")).json
    assert [one["id"] for one in (*page["deadLetters"], *rest["deadLetters"])] == [missing, error]


async def test_dead_letter_is_shown_with_its_attempts(
    terminal: DeadLetterTerminal, client: Stubs, session_id: str
) -> None:
    dead = await make_dead_letter(client, message="no luck")
    shown = await terminal.dlq("show", dead)
    assert shown.code == 0, shown.error
    for word in (dead, "TOOL_ERROR", "no luck", "failed", session_id, '"retryable":false'):
        assert word in shown.out
    dead_letter = (await terminal.dlq("show", dead, "--json")).json
    response = await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=dead))
    assert dead_letter == json.loads(orjson.dumps(write_message(response.dead_letter)))  # as REST returns it
    (attempt,) = dead_letter["attempts"]
    assert (attempt["outcome"], attempt["error"]["code"]) == ("failed", "TOOL_ERROR")
    assert attempt["duration"] >= 0
    gone = await terminal.dlq("show", NOWHERE)
    assert (gone.code, gone.error) == (1, "callboard: DEAD_LETTER_NOT_FOUND: there is no such dead letter\n")


async def test_dead_letter_is_requeued_with_other_parameters(
    terminal: DeadLetterTerminal, client: Stubs, session_id: str, tmp_path: Path
) -> None:
    typed, piped = await make_dead_letter(client), await make_dead_letter(client)
    done = await terminal.dlq(
        "requeue", typed, "--params", '{"times": 0}', "--max-attempts", "1", "--into", session_id, "--json"
    )
    assert done.code == 0, done.error
    command = await ended(client, done.json["results"][0]["jobId"])
    assert (command.state, command.options.max_attempts, command.requeued_from) == (SUCCEEDED, 1, typed)
    done = await terminal.dlq("requeue", piped, "--params", "-", text='{"times": 0}')
    made = await successor(client, piped)
    assert (done.code, f"requeued as {made}" in done.out) == (0, True)
    wrong = await terminal.dlq("requeue", await make_dead_letter(client), "--params", "[]")
    assert (wrong.code, "params: must be a JSON object" in wrong.error) == (1, True)
    two = await terminal.dlq("requeue", typed, piped, "--params", "{}")
    assert (two.code, "--params: requires exactly one id" in two.error) == (2, True)


async def test_requeue_by_id_with_a_rejected_item_exits_with_1(
    terminal: DeadLetterTerminal, client: Stubs, session_id: str
) -> None:
    fresh, before = await make_dead_letter(client), await make_dead_letter(client)
    await requeue(client, before)
    done = await terminal.dlq("requeue", fresh, before, NOWHERE, "--priority", "high", "--request-id", "key")
    assert done.code == 1
    assert "DEAD_LETTER_REQUEUED" in done.out
    assert done.out.splitlines()[-1] == "1 requeued, 2 rejected"
    made = await successor(client, fresh)
    assert (await get_command(client, made)).options.priority == 1
    again = await terminal.dlq("requeue", fresh, before, NOWHERE, "--priority", "high", "--request-id", "key", "--json")
    assert again.json["results"][0]["jobId"] == made


async def test_requeue_by_filter_takes_all_matches_and_a_dry_run_counts_them(
    terminal: DeadLetterTerminal, client: Stubs, session_id: str
) -> None:
    ids = await make_dead_letters(client, 5)
    other = await make_dead_letter(client, code="TOOL_NOT_FOUND")
    dry = await terminal.dlq("requeue", "--reason", "TOOL_ERROR", "--limit", "3", "--dry-run")
    assert (dry.code, dry.out.splitlines()[-1]) == (0, "3 would be requeued, 0 would be rejected; 5 match")
    some = (await terminal.dlq("requeue", "--reason", "TOOL_ERROR", "--limit", "2", "--json")).json
    assert ([one["id"] for one in some["results"]], some["more"]) == (ids[:2], True)
    rest = await terminal.dlq("requeue", "--all", "--before", "0s", "--json")
    assert {*ids[2:], other} <= {one["id"] for one in rest.json["results"]}


async def test_purge_by_filter_asks_for_confirmation(
    terminal: DeadLetterTerminal, client: Stubs, session_id: str
) -> None:
    ids = await make_dead_letters(client, 3)
    unsure = await terminal.dlq("purge", "--agent", "clock")
    assert (unsure.code, "use --yes" in unsure.error) == (2, True)
    assert (await terminal.dlq("purge", "--all", "--dry-run", "--json")).json["matched"] == 3
    assert await listed(client) == ids[::-1]
    done = await terminal.dlq("purge", "--agent", "clock", "--limit", "2", "--yes")
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 purged, 0 rejected; more match")
    assert (await terminal.dlq("purge", ids[2])).code == 0
    assert await listed(client) == []


async def test_requeue_without_a_session_prints_an_error_naming_the_agent(
    terminal: DeadLetterTerminal, client: Stubs, session_id: str
) -> None:
    dead = await make_dead_letter(client)
    await stop(client)
    done = await terminal.dlq("requeue", dead)
    assert done.code == 1
    assert "agent clock has no active session; start one" in done.out
    edited = await terminal.dlq("requeue", dead, "--params", "{}")
    assert (edited.code, "SESSION_NOT_ACTIVE: agent clock has no active session" in edited.error) == (1, True)


async def test_error_is_printed_with_its_exit_code(suite: Suite, terminal: DeadLetterTerminal) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    for arguments, environment, code, says in (
        (("requeue",), {}, 2, "or with --all"),
        (("list", "--reason", "TOOL_EROR"), {}, 2, "did you mean TOOL_ERROR"),
        (("list",), {"CALLBOARD_COMMAND_ADDRESS": nobody}, 4, f"no command service answers at {nobody}"),
        (("list",), {"CALLBOARD_KEY": ""}, 1, "no key"),
        (("list",), {"CALLBOARD_KEY": "cb_wrong"}, 1, "CREDENTIALS_INVALID"),
        (("purge", NOWHERE), {"CALLBOARD_KEY": suite.new_key("operator")}, 1, "this needs the role admin"),
    ):
        done = await terminal.dlq(*arguments, **environment)
        assert (done.code, done.out) == (code, ""), (arguments, done)
        assert says in done.error
        assert "Traceback" not in done.error


async def test_key_and_address_come_from_the_home_folder(
    suite: Suite, terminal: DeadLetterTerminal, tmp_path: Path
) -> None:
    (tmp_path / "dev-key").write_text(suite.key + "\n")
    (tmp_path / "endpoints.json").write_text(json.dumps({"command": suite.command_addresses[0]}))
    done = await terminal.dlq("list", CALLBOARD_KEY="", CALLBOARD_COMMAND_ADDRESS="")
    assert (done.code, done.out) == (0, "no dead letters match\n")
