"""Makes the database check the tables of states: a statement with a transition that no table allows fails."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from services.command.commands.model import TRANSITIONS as COMMAND_TRANSITIONS
from services.session.sessions.model import TRANSITIONS as SESSION_TRANSITIONS

_GUARD = """
create or replace function {schema}.reject_transition() returns trigger language plpgsql as $$
begin
  if old.state <> new.state and (old.state::text, new.state::text) not in ({allowed}) then
    raise exception 'a transition that model.py does not have: % to %', old.state, new.state;
  end if;
  if (new.{end} is null) <> (new.state = any ({open})) then
    raise exception 'state % with the end %', new.state, new.{end};
  end if;
  return new;
end
$$;
create or replace trigger reject_transition before update on {schema}.{table}
  for each row execute function {schema}.reject_transition();
"""


def guard_transitions(admin_url: str) -> None:
    """Installs the checks for sessions and commands in a test's database."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(_guard("session", "sessions", "ended_at", SESSION_TRANSITIONS))
        connection.execute(_guard("command", "commands", "finished_at", COMMAND_TRANSITIONS))


def _guard(schema: str, table: str, end: str, transitions: Mapping[Any, Iterable[str]]) -> sql.Composed:
    rows = [sql.SQL("({}, {})").format(str(one), str(other)) for one in transitions for other in transitions[one]]
    live = [str(state) for state, following in transitions.items() if following]
    return sql.SQL(_GUARD).format(
        schema=sql.Identifier(schema), table=sql.Identifier(table), end=sql.Identifier(end), open=sql.Literal(live),
        allowed=sql.SQL(", ").join(rows),
    )  # fmt: skip
