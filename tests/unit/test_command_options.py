"""Options of a command, between the contract's messages and the stored values."""

import pytest
from google.protobuf.duration_pb2 import Duration

from callboard.commands.v1.commands_pb2 import CommandOptions, CommandSpec
from libs.errors import ServiceError
from services.command.commands.convert import new_command
from services.command.commands.model import DEFAULT_RUN_OPTIONS, RUN_OPTIONS, STORED


def run_options(**options: object) -> dict[str, object]:
    """The options that a submit stores for its runner."""
    spec = CommandSpec(agent_id="clock", type="echo", options=CommandOptions(**options))  # type: ignore[arg-type]
    return new_command(spec, "command").run_options()


def test_options_that_are_given_replace_the_defaults() -> None:
    given = run_options(timeout=Duration(seconds=9), backoff=Duration(nanos=20_000_000), retry_tool_errors=True)
    changed = {"timeout_ms": 9000, "backoff_ms": 20, "retry_tool_errors": True}
    assert given == DEFAULT_RUN_OPTIONS.run_options() | changed


def test_longest_backoff_is_by_default_not_less_than_the_first() -> None:
    assert run_options(backoff=Duration(seconds=3000))["max_backoff_ms"] == 3_000_000


def test_longest_backoff_that_is_less_than_the_first_is_rejected() -> None:
    with pytest.raises(ServiceError) as caught:
        run_options(backoff=Duration(seconds=3), max_backoff=Duration(seconds=2))
    [violation] = caught.value.violations
    assert (violation.field, violation.rule) == ("command.options.max_backoff", "must not be less than backoff")


def test_fields_of_a_command_are_columns_except_its_run_options() -> None:
    assert [name for name in STORED if "." in name] == [f"options.{name}" for name in RUN_OPTIONS]
    assert {"command_id", "priority", "result"} <= set(STORED)
