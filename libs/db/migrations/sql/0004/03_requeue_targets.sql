-- Where the dead commands of these agents could go now: the code that a submit would answer, with the live session, or
-- with the one that is named. The function of the same name without a session is that of the release before.
create function command.requeue_targets(p_tenant text, p_agents text[], p_session text)
returns table (agent_id text, code text, session_id text, state text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select t.agent_id, t.code, t.session_id, t.state from command.requeue_targets(p_tenant, p_agents) t
  where p_session is null
  union all
  select a.agent_id,
         case when s.session_id is null then 'session_not_found' when s.agent_id <> a.agent_id then 'not_its_session'
              when s.state <> 'active' then 'not_active' else 'ok' end,
         p_session, s.state
  from (select distinct unnest(p_agents) as agent_id) a
  left join session.targets(p_tenant, '{}', array[p_session]) s on true
  where p_session is not null
$$;

revoke execute on function command.requeue_targets(text, text[], text) from public;
grant execute on function command.requeue_targets(text, text[], text) to callboard_command;
