"""Commands as a submit takes them."""

from typing import Any

from services.command.commands.model import DEFAULT_RUN_OPTIONS, NewCommand


def a_new_command(agent_id: str = "clock", *, key: str = "", hash: bytes = b"h", **fields: Any) -> NewCommand:  # noqa: A002
    """A command for the agent, with the options by default."""
    values: dict[str, Any] = {
        **DEFAULT_RUN_OPTIONS.run_options(), "session_id": "", "type": "echo", "params": "{}", "correlation_id": "",
        "max_attempts": 3, "priority": 1, "not_before": None, "ordering_key": "", "retention_s": 3600,
    }  # fmt: skip
    return NewCommand(agent_id=agent_id, key=key, hash=hash, **(values | fields))
