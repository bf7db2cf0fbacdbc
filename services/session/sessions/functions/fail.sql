-- Fails a live session because its runner cannot connect to its agent. The session service advances the stop.
create or replace function session.fail(p_tenant text, p_partition smallint, p_session_uid uuid, p_actor text,
                                        p_error jsonb)
returns session.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_live session.sessions;
  v_step session.stop_step;
begin
  perform session.lock_log(p_tenant, p_partition);
  select * into v_live from session.sessions s
    where s.tenant_id = p_tenant and s.session_uid = p_session_uid and session.can_stop(s.state);
  if not found then
    v_step.code := 'none';
    return v_step;
  end if;
  return session.begin_closing(p_tenant, p_partition, v_live, jsonb_build_object(
    'state', 'failed', 'reason', p_error ->> 'message', 'error', p_error, 'actor', p_actor, 'address', '',
    'grace_ms', 0));
end
$$;
