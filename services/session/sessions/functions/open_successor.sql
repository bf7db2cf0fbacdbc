-- Starts the session that a restart requested to follow this one. Returns its events, or null when there is no such
-- request, the agent was deleted, or the id is taken. The partition is locked.
create or replace function session.open_successor(p_tenant text, p_partition smallint, p_session session.sessions)
returns session.new_event[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_agent session.agents;
begin
  if p_session.closing ->> 'successor' is null then
    return null;
  end if;
  select * into v_agent from session.agents a where a.tenant_id = p_tenant and a.agent_id = p_session.agent_id;
  if not found then
    return null;
  end if;
  return session.open(p_tenant, p_partition, v_agent, p_session.closing -> 'successor', p_session.restart_count + 1,
                      p_session.session_id);
end
$$;
