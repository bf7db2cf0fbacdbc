"""What `callboard dlq` is asked for: filters, times, spans, parameters."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from services.cli.dead_letters.options import (
    Filters,
    choose,
    read_moment,
    read_options,
    read_params,
    read_reason,
    read_span,
)
from services.cli.dead_letters.output import plain
from services.cli.dead_letters.service import address_of, key_of
from services.cli.errors import RefusedError, SettingError, UsageError

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_no_filter_is_an_empty_one() -> None:
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
        ({"requeued": "yes"}, "'yes' is none of true, false, any"),
        ({"after": "yesterday"}, "--after: 'yesterday' is no time"),
        ({"before": "2026-01-31T13:00:00"}, "--before: '2026-01-31T13:00:00' has no time zone"),
        ({"before": "999999999d"}, "--before"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_by_its_option(filters: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        Filters(**filters).read(NOW)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30), ("15m", 900), ("2h", 7200), ("7d", 604800)]
)
def test_spans_are_read(text: str, seconds: float) -> None:
    assert read_span("--timeout", text).total_seconds() == seconds


@given(st.text(max_size=12))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        made = read_moment("--after", text, NOW)
    except UsageError:
        return
    assert made is None or made.seconds


def test_a_span_lies_behind_or_ahead() -> None:
    behind, ahead = read_moment("--after", "1d", NOW), read_moment("--not-before", "1d", NOW, ahead=True)
    assert behind is not None
    assert ahead is not None
    assert ahead.seconds - behind.seconds == 2 * 86400


def test_ids_or_a_filter_or_all_has_to_be_said_and_only_one_of_them() -> None:
    by_id = choose(["a", "b", "a"], Filters(), everything=False, limit=None, now=NOW)
    assert (by_id.ids, by_id.matching) == (("a", "b"), None)
    assert choose([], Filters(agent="clock"), everything=False, limit=5, now=NOW).matching is not None
    assert choose([], Filters(), everything=True, limit=None, now=NOW).matching == commands_pb2.DeadLetterFilter()
    for ids, filters, everything, limit in (
        ([], Filters(), False, None),
        ([], Filters(reasons=[]), False, None),  # as the command line gives it
        (["a"], Filters(agent="clock"), False, None),
        (["a"], Filters(), True, None),
        (["a"], Filters(), False, 5),
    ):
        with pytest.raises(UsageError):
            choose(ids, filters, everything=everything, limit=limit, now=NOW)


def test_options_of_a_requeue_are_read() -> None:
    options = read_options(attempts=2, timeout="90s", priority="high", not_before="", into="ses-1")
    assert (options.max_attempts, options.timeout.seconds, options.priority) == (2, 90, 1)
    assert options.session_id == "ses-1"
    assert not options.HasField("not_before")
    assert read_options(attempts=0, timeout="", priority="", not_before="", into="") == commands_pb2.RequeueOptions()
    with pytest.raises(UsageError, match="--priority"):
        read_options(attempts=0, timeout="", priority="urgent", not_before="", into="")


def test_parameters_are_typed_or_read_from_a_file_or_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "params.json"
    file.write_text('{"a": 1}')
    monkeypatch.setattr("sys.stdin", io.StringIO('{"b": 2}'))
    assert [read_params(text) for text in (None, "{}", f"@{file}", "-")] == [None, "{}", '{"a": 1}', '{"b": 2}']
    with pytest.raises(UsageError, match="cannot read"):
        read_params(f"@{tmp_path / 'missing'}")


def test_every_reason_of_the_contract_can_be_named() -> None:
    for name, number in errors_pb2.ErrorReason.items():
        if number:
            assert read_reason(name.removeprefix("ERROR_REASON_").lower()) == number


def test_the_service_is_where_the_environment_says_or_where_up_left_it(tmp_path: Path) -> None:
    home = {"CALLBOARD_HOME": str(tmp_path)}
    assert address_of(home) == "127.0.0.1:7402"
    assert address_of({**home, "CALLBOARD_COMMAND_PORT": "7500"}) == "127.0.0.1:7500"
    (tmp_path / "endpoints.json").write_text('{"command": "127.0.0.1:9000"}')
    assert address_of(home) == "127.0.0.1:9000"
    assert address_of({**home, "CALLBOARD_COMMAND_ADDRESS": "elsewhere:1"}) == "elsewhere:1"
    (tmp_path / "endpoints.json").write_text("half a docu")
    assert address_of(home) == "127.0.0.1:7402"


def test_the_key_is_the_environments_or_the_homes(tmp_path: Path) -> None:
    home = {"CALLBOARD_HOME": str(tmp_path)}
    with pytest.raises(RefusedError, match="no key"):
        key_of(home)
    (tmp_path / "dev-key").write_text("cb_home\n")
    assert key_of(home) == "cb_home"
    assert key_of({**home, "CALLBOARD_KEY": " cb_given "}) == "cb_given"
    with pytest.raises(SettingError, match="CALLBOARD_KEY"):
        key_of({"CALLBOARD_KEY": "cb_\x1b[31m"})


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[31mb\nc\td") == "a\N{REPLACEMENT CHARACTER}[31mb c d"
    assert len(plain("x" * 1000)) == 200
