-- Joins a stop to the one that is already in progress for the session. That one stores its answer under both keys. A
-- restart cannot join.
create or replace function session.join_stop(p_tenant text, p_live session.sessions, p_request jsonb)
returns session.stop_step language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_step    session.stop_step;
  v_key     text := p_request ->> 'key';
  v_method  text := p_request ->> 'method';
  v_restart boolean := p_request ->> 'successor' is not null;
begin
  v_step.code := case when v_restart then 'already_stopping' else 'stopping' end;
  v_step.session_uid := p_live.session_uid;
  v_step.detail := p_live.session_id;
  if v_key is not null and not v_restart then
    update session.sessions s
      set closing = jsonb_set(s.closing, '{joined}', coalesce(s.closing -> 'joined', '[]')
            || jsonb_build_object('method', v_method, 'key', v_key))
      where s.tenant_id = p_tenant and s.session_uid = p_live.session_uid;
  elsif v_key is not null and (p_live.closing ->> 'method', p_live.closing ->> 'key')
      is distinct from (v_method, v_key) then
    perform idempotency.release(p_tenant, v_method, array[v_key], 'running');
  end if;
  return v_step;
end
$$;
