-- Returns where dead commands of these agents would go now: the code of a submit, with the live or the named session.
create or replace function command.requeue_destinations(p_tenant text, p_agents text[], p_session text)
returns table (agent_id text, code command.submit_code, session_id text, state session.session_state)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select a.agent_id,
         case when count(t.session_uid) > 1 then 'ambiguous'
              when count(t.session_uid) = 1 then case when min(t.state) = 'active' then 'ok' else 'not_active' end
              when exists (select from session.known_agents(p_tenant, array[a.agent_id])) then 'no_session'
              else 'agent_not_found' end,
         min(t.session_id), min(t.state)
  from (select distinct unnest(p_agents) as agent_id where p_session is null) a
  left join session.targets(p_tenant, p_agents, '{}') t on t.agent_id = a.agent_id
  group by a.agent_id
  union all
  select a.agent_id,
         case when s.session_id is null then 'session_not_found' when s.agent_id <> a.agent_id then 'not_its_session'
              when s.state <> 'active' then 'not_active' else 'ok' end,
         p_session, s.state
  from (select distinct unnest(p_agents) as agent_id) a
  left join session.targets(p_tenant, '{}', array[p_session]) s on true
  where p_session is not null
$$;
