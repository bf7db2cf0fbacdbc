-- Begins a stop of a session, or a restart of an agent's. Request: {agent_id | session_id, state, reason, error, actor,
-- address, grace_ms, method, key, hash (hex), successor}. A restart without a live session starts the successor at
-- once.
create or replace function session.stop(p_tenant text, p_partition smallint, p_request jsonb)
returns session.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_step   session.stop_step := session.take_stop_key(p_tenant, p_request);
  v_target record;
begin
  if v_step.code is not null then
    return v_step;
  end if;
  perform session.lock_log(p_tenant, p_partition);
  v_target := session.stop_target(p_tenant, p_request);
  if v_target.code is null and (v_target.live).state = 'stopping' then
    return session.join_stop(p_tenant, v_target.live, p_request);
  end if;
  v_step.code := v_target.code;
  if v_target.code is null and exists (
      select from session.sessions s
      where s.tenant_id = p_tenant and s.session_id = p_request -> 'successor' ->> 'session_id') then
    v_step.code := 'id_taken';
    v_step.detail := p_request -> 'successor' ->> 'session_id';
  end if;
  if v_step.code is not null then
    perform idempotency.release(p_tenant, p_request ->> 'method', array[p_request ->> 'key'], 'running');
    return v_step;
  end if;
  if (v_target.live).session_uid is null then
    return session.restart_at_once(p_tenant, p_partition, v_target.agent, p_request);
  end if;
  return session.begin_closing(p_tenant, p_partition, v_target.live, p_request);
end
$$;
