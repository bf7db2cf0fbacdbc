-- Finds the live session of a stop or restart, null when there is none. `code` is null unless the request is rejected.
create or replace function session.stop_target(
  p_tenant text, p_request jsonb, out code session.stop_code, out agent session.agents, out live session.sessions
) language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if p_request ->> 'agent_id' is null then
    select * into live from session.sessions s
      where s.tenant_id = p_tenant and s.session_id = p_request ->> 'session_id';
    if not found then
      code := 'session_not_found';
    elsif live.ended_at is not null then
      live := null;
    end if;
    return;
  end if;
  select * into agent from session.agents a where a.tenant_id = p_tenant and a.agent_id = p_request ->> 'agent_id';
  if not found then
    code := 'agent_not_found';
    return;
  end if;
  if (select count(*) from session.sessions s
      where s.tenant_id = p_tenant and s.agent_id = agent.agent_id and s.ended_at is null) > 1 then
    code := 'ambiguous';
  end if;
  select * into live from session.sessions s
    where s.tenant_id = p_tenant and s.agent_id = agent.agent_id and s.ended_at is null limit 1;
end
$$;
