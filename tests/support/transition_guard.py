"""Makes the database check the tables of states: a statement with a transition that no table allows fails."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from services.command.commands.model import TRANSITIONS as COMMAND_TRANSITIONS
from services.command.dispatch.model import TRANSITIONS as CONNECTION_TRANSITIONS
from services.session.sessions.model import TRANSITIONS as SESSION_TRANSITIONS

_GUARD = """
create or replace function {function}() returns trigger language plpgsql as $$
begin
  if old.state <> new.state and (old.state::text, new.state::text) not in ({allowed}) then
    raise exception 'a transition that model.py does not have: % to %', old.state, new.state;
  end if;
  {end_check}
  return new;
end
$$;
create or replace trigger reject_transition before update on {table}
  for each row execute function {function}();
"""
_END_CHECK = """
  if (new.{end} is null) <> (new.state = any ({open})) then
    raise exception 'state % with the end %', new.state, new.{end};
  end if;
"""


def guard_transitions(admin_url: str) -> None:
    """Installs the checks for sessions, commands and connections in a test's database."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(_guard("session", "sessions", SESSION_TRANSITIONS, end="ended_at"))
        connection.execute(_guard("command", "commands", COMMAND_TRANSITIONS, end="finished_at"))
        connection.execute(_guard("command", "connections", CONNECTION_TRANSITIONS))


def _guard(schema: str, table: str, transitions: Mapping[Any, Iterable[str]], end: str = "") -> sql.Composed:
    rows = [sql.SQL("({}, {})").format(str(one), str(other)) for one in transitions for other in transitions[one]]
    live = [str(state) for state, following in transitions.items() if following]
    check = sql.SQL(_END_CHECK).format(end=sql.Identifier(end), open=sql.Literal(live)) if end else sql.SQL("")
    return sql.SQL(_GUARD).format(
        function=sql.Identifier(schema, f"reject_transition_of_{table}"), table=sql.Identifier(schema, table),
        allowed=sql.SQL(", ").join(rows), end_check=check,
    )  # fmt: skip
