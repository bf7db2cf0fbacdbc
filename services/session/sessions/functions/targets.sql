-- Returns the sessions that commands may go to: the live ones of the agents, and those with the ids. Plain SQL without
-- settings, so that the planner inlines it.
create or replace function session.targets(p_tenant text, p_agent_ids text[], p_session_ids text[])
returns table (agent_id text, session_id text, session_uid uuid, partition smallint, state session.session_state)
language sql stable as $$
  select s.agent_id, s.session_id, s.session_uid, s.partition, s.state
  from unnest(p_agent_ids) as a(agent_id) cross join lateral (
    select s.agent_id, s.session_id, s.session_uid, s.partition, s.state from session.sessions s
    where s.tenant_id = p_tenant and s.agent_id = a.agent_id and s.ended_at is null
    limit 2) s  -- two are enough to know that an agent has several
  union
  select s.agent_id, s.session_id, s.session_uid, s.partition, s.state
  from unnest(p_session_ids) as i(session_id) cross join lateral (
    select s.agent_id, s.session_id, s.session_uid, s.partition, s.state from session.sessions s
    where s.tenant_id = p_tenant and s.session_id = i.session_id offset 0) s
$$;
