-- Starts one session, or returns the code that says why not. The partition is locked.
create or replace function session.start_one(p_tenant text, p_partition smallint, p_item jsonb)
returns session.start_result language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_result session.start_result;
  v_agent  session.agents;
  v_live   record;
begin
  select * into v_agent from session.agents a where a.tenant_id = p_tenant and a.agent_id = p_item ->> 'agent_id';
  if not found then
    v_result.code := 'agent_not_found';
    return v_result;
  end if;
  if v_agent.exclusive then
    select s.session_uid, s.session_id, s.state into v_live from session.sessions s
      where s.tenant_id = p_tenant and s.agent_id = v_agent.agent_id and s.ended_at is null
      order by s.created_at limit 1;
    if found then
      v_result.session_uid := v_live.session_uid;
      v_result.detail := v_live.session_id;
      v_result.code := case when v_live.state = 'stopping' then 'stopping'
                            when (p_item ->> 'fail_on_conflict')::boolean then 'live'
                            else 'existing' end;
      return v_result;
    end if;
  end if;
  v_result.events := session.open(p_tenant, p_partition, v_agent, p_item, 0, null);
  if v_result.events is null then
    v_result.code := 'id_taken';
    return v_result;
  end if;
  v_result.code := 'created';
  v_result.session_uid := (p_item ->> 'session_uid')::uuid;
  return v_result;
end
$$;
