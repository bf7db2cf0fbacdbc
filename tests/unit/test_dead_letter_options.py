"""The options of `callboard dlq`: filters, times, durations, parameters, and the service's address and key."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from services.cli.arguments import read_duration
from services.cli.connection import ServiceName, address_of, key_of
from services.cli.dead_letters.options import (
    Filters,
    read_moment,
    read_options,
    read_params,
    read_reason,
    select,
)
from services.cli.errors import CliError, SettingError, UsageError
from services.cli.text import escaped_json, plain, plain_lines

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_no_options_make_an_empty_filter() -> None:
    assert Filters().read(NOW) == commands_pb2.DeadLetterFilter()


def test_every_filter_is_read() -> None:
    read = Filters(
        agent="clock", session="ses-1", type="run_tool", reasons=["TOOL_ERROR", "tool-not-found", "TOOL_ERROR"],
        after="2h", before="2026-01-31T13:00:00+02:00", requeued="false", correlation="c:1",
    ).read(NOW)  # fmt: skip
    assert (read.agent_id, read.session_id, read.type, read.correlation_id) == ("clock", "ses-1", "run_tool", "c:1")
    assert list(read.reasons) == [errors_pb2.ERROR_REASON_TOOL_ERROR, errors_pb2.ERROR_REASON_TOOL_NOT_FOUND]
    assert read.dead_after.ToJsonString() == "2026-01-31T10:00:00Z"
    assert read.dead_before.ToJsonString() == "2026-01-31T11:00:00Z"
    assert read.requeued == commands_pb2.REQUEUED_FILTER_NOT_REQUEUED


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"reasons": ["TOOL_EROR"]}, "did you mean TOOL_ERROR"),
        ({"reasons": [""]}, "--reason"),
        ({"requeued": "yes"}, "'yes' is not one of true, false, any"),
        ({"after": "yesterday"}, "--after: 'yesterday' is not a time"),
        ({"before": "2026-01-31T13:00:00"}, "--before: '2026-01-31T13:00:00' has no time zone"),
        ({"before": "999999999d"}, "--before"),
    ],
)
def test_invalid_filter_is_rejected_naming_its_option(filters: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        Filters(**filters).read(NOW)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30), ("15m", 900), ("2h", 7200), ("7d", 604800)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert read_duration("--timeout", text).total_seconds() == seconds


@given(st.text(max_size=12))
def test_any_text_is_a_time_or_rejected(text: str) -> None:
    try:
        made = read_moment("--after", text, NOW)
    except UsageError:
        return
    assert made is None or made.seconds


def test_duration_is_relative_to_now() -> None:
    behind, ahead = read_moment("--after", "1d", NOW), read_moment("--not-before", "1d", NOW, ahead=True)
    assert behind is not None
    assert ahead is not None
    assert ahead.seconds - behind.seconds == 2 * 86400


def test_dead_letters_are_selected_in_exactly_one_way() -> None:
    by_id = select(["a", "b", "a"], Filters(), everything=False, limit=None, now=NOW)
    assert (by_id.ids, by_id.matching) == (("a", "b"), None)
    assert select([], Filters(agent="clock"), everything=False, limit=5, now=NOW).matching is not None
    assert select([], Filters(), everything=True, limit=None, now=NOW).matching == commands_pb2.DeadLetterFilter()
    for ids, filters, everything, limit in (
        ([], Filters(), False, None),
        ([], Filters(reasons=[]), False, None),  # as typer passes it
        (["a"], Filters(agent="clock"), False, None),
        (["a"], Filters(), True, None),
        (["a"], Filters(), False, 5),
    ):
        with pytest.raises(UsageError):
            select(ids, filters, everything=everything, limit=limit, now=NOW)


def test_options_of_a_requeue_are_read() -> None:
    options = read_options(attempts=2, timeout="90s", priority="high", not_before="", into="ses-1")
    assert (options.max_attempts, options.timeout.seconds, options.priority) == (2, 90, 1)
    assert options.session_id == "ses-1"
    assert not options.HasField("not_before")
    assert read_options(attempts=0, timeout="", priority="", not_before="", into="") == commands_pb2.RequeueOptions()
    with pytest.raises(UsageError, match="--priority"):
        read_options(attempts=0, timeout="", priority="urgent", not_before="", into="")


def test_parameters_come_from_an_argument_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "params.json"
    file.write_text('{"a": 1}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"b": 2}')))
    assert [read_params(text) for text in (None, "{}", f"@{file}", "-")] == [None, "{}", '{"a": 1}', '{"b": 2}']
    with pytest.raises(UsageError, match="cannot read"):
        read_params(f"@{tmp_path / 'missing'}")
    file.write_bytes(b'"\xff"')
    with pytest.raises(UsageError, match="must be UTF-8; byte 1 is not"):
        read_params(f"@{file}")


def test_every_reason_of_the_contract_can_be_named() -> None:
    for name, number in errors_pb2.ErrorReason.items():
        if number:
            assert read_reason(name.removeprefix("ERROR_REASON_").lower()) == number


@pytest.mark.parametrize(("service", "port"), [(ServiceName.SESSION, 7401), (ServiceName.COMMAND, 7402)])
def test_address_comes_from_the_environment_or_from_up(tmp_path: Path, service: ServiceName, port: int) -> None:
    home, name = {"CALLBOARD_HOME": str(tmp_path)}, service.upper()
    assert address_of(home, service) == f"127.0.0.1:{port}"
    assert address_of({**home, f"CALLBOARD_{name}_PORT": "7500"}, service) == "127.0.0.1:7500"
    (tmp_path / "endpoints.json").write_text(json.dumps({service.value: "127.0.0.1:9000"}))
    assert address_of(home, service) == "127.0.0.1:9000"
    assert address_of({**home, f"CALLBOARD_{name}_ADDRESS": "elsewhere:1"}, service) == "elsewhere:1"
    (tmp_path / "endpoints.json").write_text("half a docu")
    assert address_of(home, service) == f"127.0.0.1:{port}"


def test_key_comes_from_the_environment_or_the_home_folder(tmp_path: Path) -> None:
    home = {"CALLBOARD_HOME": str(tmp_path)}
    with pytest.raises(CliError, match="no key"):
        key_of(home)
    (tmp_path / "dev-key").write_text("cb_home\n")
    assert key_of(home) == "cb_home"
    assert key_of({**home, "CALLBOARD_KEY": " cb_given "}) == "cb_given"


def test_invalid_key_is_rejected_without_printing_it(tmp_path: Path) -> None:
    (tmp_path / "dev-key").write_text("cb_secret\x1b\n")
    with pytest.raises(SettingError, match="CALLBOARD_KEY") as caught:
        key_of({"CALLBOARD_KEY": "cb_secret\x1b[31m"})
    assert "secret" not in str(caught.value)
    with pytest.raises(CliError, match="dev-key does not contain an API key") as of_home:
        key_of({"CALLBOARD_HOME": str(tmp_path)})
    assert "secret" not in str(of_home.value)


def test_control_characters_of_others_are_not_printed() -> None:
    assert plain("a\x1b[31mb\nc\td") == "a\N{REPLACEMENT CHARACTER}[31mb c d"
    assert len(plain("x" * 1000)) == 200
    assert plain_lines("a\x1bb\n  c\x9bd") == "a\N{REPLACEMENT CHARACTER}b\n  c\N{REPLACEMENT CHARACTER}d"
    text = '{"a": "\x9b31m \u202e é"}'
    assert escaped_json(text) == '{"a": "\\u009b31m \\u202e é"}'
    assert json.loads(escaped_json(text)) == json.loads(text)
