"""The check of SQL finds every state that the table of its owner does not have, and every list of states."""

import pytest

from tools.sql.checks import state_problems

# A part of the schema, as the files declare it.
SCHEMA = """
create table session.sessions (tenant_id text, session_uid uuid, state session.session_state not null, closing jsonb);
create table command.commands (
  tenant_id text, command_id uuid, session_uid uuid, state command.command_state not null, ended_at timestamptz);
create table command.connections (session_uid uuid, state command.connection_state not null, kill boolean);
create table command.attempts (command_id uuid, outcome command.outcome);
create table idempotency.keys (key text, state idempotency.key_state);
"""
TYPES = """
create type command.ended as (id uuid, code command.fence_code, state command.command_state);
"""
STATES = """
create or replace function session.states(p_tenant text) returns table (session_uid uuid, state session.session_state)
language sql stable as $$ select s.session_uid, s.state from session.sessions s $$;
"""
RELEASE = """
create or replace function idempotency.release(p_key text, p_state idempotency.key_state) returns text
language sql as $$ select p_key $$;
"""
FUNCTION = """
create or replace function session.tried(p_live session.sessions, out tried session.sessions) returns record
language plpgsql as $$
declare
  v_row session.sessions;
  v_any record;
begin
  {}
end
$$;
"""


def problems_of(text: str) -> list[str]:
    files = {"schema.sql": SCHEMA, "type.sql": TYPES, "states.sql": STATES, "release.sql": RELEASE}
    return list(state_problems({**files, "services/session/sessions/tried.sql": text}))


def of_function(body: str) -> list[str]:
    return problems_of(FUNCTION.format(body))


SESSION = "session.sessions.state, which SessionState does not have"
COMMAND = "command.commands.state, which CommandState does not have"
CONNECTION = "command.connections.state, which ConnectionState does not have"


@pytest.mark.parametrize(
    ("text", "word", "where"),
    [
        ("select from session.sessions where state = 'queued'", "queued", SESSION),
        ("select from session.sessions s where 'queued' = s.state", "queued", SESSION),
        ("select from session.sessions s where s.state <> 'queued'", "queued", SESSION),
        ("select from session.sessions s where s.state != 'queued'", "queued", SESSION),
        ("select from session.sessions s where s.state is distinct from 'queued'", "queued", SESSION),
        ("select from session.sessions s where s.state is not distinct from 'queued'", "queued", SESSION),
        ("select from session.sessions s where s.state in ('queued')", "queued", SESSION),
        ("select from session.sessions s where s.state not in ('queued')", "queued", SESSION),
        ("select from session.sessions s where s.state = any ('{queued}')", "queued", SESSION),
        ("select from session.sessions s where s.state = any ('{queued}'::text[])", "queued", SESSION),
        ("select from session.sessions s where s.state = any (array['queued'])", "queued", SESSION),
        ("select from session.sessions s where s.state <> all (array['queued'])", "queued", SESSION),
        ("select from session.sessions s where s.state in (select unnest(array['queued']))", "queued", SESSION),
        ("select from session.sessions s where s.state in (values ('queued'))", "queued", SESSION),
        ("select from session.sessions s where s.state = 'queued'::text", "queued", SESSION),
        ("select from session.sessions s where s.state::text = 'queued'", "queued", SESSION),
        ("select from session.sessions s where coalesce(s.state, 'queued') = 'active'", "queued", SESSION),
        ("select min(s.state) = 'queued' from session.sessions s", "queued", SESSION),
        ("select case s.state when 'queued' then 1 end from session.sessions s", "queued", SESSION),
        ("select case when s.state = 'queued' then 1 end from session.sessions s", "queued", SESSION),
        ("update session.sessions set state = 'queued'", "queued", SESSION),
        ("update session.sessions s set closing = null, state = 'queued' where true", "queued", SESSION),
        ("update command.commands c set state = case when true then 'planned' else 'queued' end", "planned", COMMAND),
        ("update command.commands c set state = case when true then 'queued' else 'planned' end", "planned", COMMAND),
        ("update command.commands set state = 'active' from session.sessions s", "active", COMMAND),
        ("insert into command.commands (command_id, state) values (null, 'planned')", "planned", COMMAND),
        ("insert into command.commands (command_id, state) values (%s, 'queued'), (%s, 'planned')", "planned", COMMAND),
        ("insert into command.commands (command_id, state) select %s, 'planned'", "planned", COMMAND),
        ("insert into command.commands (state) select case when true then 'planned' end", "planned", COMMAND),
        ("insert into command.connections values (%s, 'planned', false)", "planned", CONNECTION),
        ("insert into idempotency.keys as k (key, state) values ('a', 'done') on conflict (key) do update"
         " set state = 'planned' where k.state = 'done'", "planned", "idempotency.keys.state, which KeyState"),
        ("insert into idempotency.keys as k (key, state) values ('a', 'done') on conflict (key) do update"
         " set key = '' where k.state = 'planned'", "planned", "idempotency.keys.state, which KeyState"),
        ("with old as (select c.state from command.commands c) select from old o where o.state = 'active'", "active",
         COMMAND),
        ("with old as (select * from command.commands c) select from old where state = 'active'", "active", COMMAND),
        ("with old as (update command.commands c set ended_at = null returning c.command_id, c.state)"
         " select from old where state = 'active'", "active", COMMAND),
        ("select from (select c.state as was from command.commands c) x where x.was = 'active'", "active", COMMAND),
        ("select from command.commands c join lateral (select n.state from command.connections n) n on true"
         " where n.state = 'running'", "running", CONNECTION),
        ("select from session.states(%s) s where s.state = 'queued'", "queued", "session.states.state"),
        ("select from session.states(%s) where state = 'queued'", "queued", "session.states.state"),
        ("select from command.commands c where c.state = 'queued' union select from session.sessions c"
         " where c.state = 'queued'", "queued", SESSION),
        ("select array_agg(row(c.command_id, 'ok', 'planned')::command.ended) from command.commands c", "planned",
         "command.ended.state"),
        ("select array_agg(row(c.command_id, 'lost', c.state)::command.ended) from command.commands c", "lost",
         "command.ended.code, which FenceCode"),
        ("insert into command.attempts (command_id, outcome) select %s, 'planned'", "planned", "which Outcome"),
        ("select idempotency.release(%s, 'planned')", "planned", "idempotency.release.p_state"),
        ("create index i on session.sessions (session_uid) where state = 'queued'", "queued", SESSION),
        ("create table command.more (state command.command_state check (state in ('planned')))", "planned",
         "command.more.state"),
    ],
)  # fmt: skip
def test_unknown_state_is_reported_in_every_form(text: str, word: str, where: str) -> None:
    [problem] = problems_of(f"\n\n{text};")
    assert problem.startswith(f"services/session/sessions/tried.sql:3: uses {word!r} for ")
    assert where in problem


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("if v_row.state = 'queued' then return; end if;", "session.sessions.state"),
        ("if p_live.state <> 'queued' then return; end if;", "session.sessions.state"),
        ("select s.state into v_any from session.sessions s; if v_any.state = 'queued' then return; end if;",
         "session.sessions.state"),
        ("v_any := session.tried(p_live); if (v_any.tried).state = 'queued' then return; end if;",
         "session.sessions.state"),
        ("v_row.state := 'queued';", "session.sessions.state"),
        ("v_row.state := case when true then 'active' else 'queued' end;", "session.sessions.state"),
        ("perform session.begin(jsonb_build_object('reason', 'queued', 'state', 'queued'));", "a JSON object"),
    ],
)  # fmt: skip
def test_unknown_state_is_reported_in_the_body_of_a_function(body: str, where: str) -> None:
    [problem] = of_function(body)
    assert problem.startswith(f"services/session/sessions/tried.sql:8: uses 'queued' for {where}")


def test_unknown_state_in_the_result_of_a_function_is_reported() -> None:
    text = STATES.replace("session.states", "session.tried").replace("s.state from", "'queued' from")
    [problem] = problems_of(text)
    assert "uses 'queued' for session.tried.state" in problem


@pytest.mark.parametrize(
    "text",
    [
        "select from session.sessions s where s.state in ('created', 'active')",
        "select from session.sessions where state not in ('created', 'active')",
        "select from session.sessions s where s.state = any ('{created,active}')",
        "select from session.sessions s where s.state = any (array['created', 'active'])",
        "select from session.sessions s where s.state <> all (array['created', 'active'])",
        "select from session.sessions s where s.state in (select unnest(array['created', 'active']))",
        "select from session.sessions s where s.state in (values ('created'), ('active'))",
        "select from session.sessions s where s.state = 'created' or s.state = 'active'",
        "select from session.sessions s where %s and (s.state = 'created' or s.closing is null or s.state = 'active')",
        "select from session.sessions s where s.state <> 'created' and s.state <> 'active'",
        "select array['created', 'active']",
        "create index i on session.sessions (session_uid) where state in ('created', 'active')",
        "create table session.more (state session.session_state check (state in ('created', 'active')))",
    ],
)
def test_handwritten_list_of_session_states_is_reported(text: str) -> None:
    found = [problem for problem in problems_of(text) if "lists the states" in problem]
    assert found
    assert all("tried.sql:1: lists the states active, created of session." in problem for problem in found)


@pytest.mark.parametrize(
    ("table", "states"),
    [
        ("command.commands", ("queued", "scheduled")),
        ("command.connections", ("connected", "connecting")),
        ("idempotency.keys", ("done", "running")),
    ],
)
def test_handwritten_list_of_any_states_is_reported(table: str, states: tuple[str, str]) -> None:
    [problem] = problems_of(f"select from {table} where state in {states}")
    assert f"lists the states {states[0]}, {states[1]} of {table}.state" in problem


@pytest.mark.parametrize(
    "text",
    [
        "select from session.sessions s where s.state = 'active' and session.is_live(s.state)",
        "select from idempotency.keys k where k.state = 'waiting' or k.state = 'running' and k.key < 'x'",
        "update command.commands c set state = case when %s then 'scheduled' else 'queued' end",
        "select from session.states(%s) s, command.commands c where s.state = 'active' and c.state = 'queued'",
        "select 'queued', 'active', 'whatever'",
        "select case when c.state = 'running' then 'requested' else 'cancelled' end as code from command.commands c",
        "select 'planned' -- where state = 'planned'",
    ],
)
def test_known_states_are_accepted(text: str) -> None:
    assert problems_of(text) == []


def test_state_of_an_unknown_table_is_reported() -> None:
    [problem] = problems_of("select from json_to_recordset(%s) as i(state text) where i.state = 'active'")
    assert "compares 'active' with a state whose table is not known" in problem


@pytest.mark.parametrize(
    "text",
    [
        "create table session.tried (state text not null)",
        "create type session.tried as (state text)",
        "create function session.tried() returns table (state text) language sql as $$ select null $$",
        "alter table session.sessions add column state text",
    ],
)
def test_state_without_a_domain_is_reported(text: str) -> None:
    [problem] = problems_of(text)
    assert ".state as text; give it the domain of its states" in problem
