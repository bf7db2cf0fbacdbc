-- Moves a live session to stopping and takes the first step of its stop. The partition is locked. A session without
-- open commands ends in this transaction; only a session that has to wait appends `session.stopping`.
create or replace function session.begin_closing(p_tenant text, p_partition smallint, p_live session.sessions,
                                                 p_request jsonb)
returns session.stop_step language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_closing jsonb;
  v_events  session.new_event[] := '{}';
begin
  v_closing := jsonb_build_object(
    'state', p_request ->> 'state', 'reason', p_request ->> 'reason', 'error', p_request -> 'error',
    'actor', p_request ->> 'actor', 'address', p_request ->> 'address', 'method', p_request ->> 'method',
    'key', p_request ->> 'key', 'successor', session.successor_of(p_live, p_request -> 'successor'),
    'deadline', v_now + (p_request ->> 'grace_ms')::integer * interval '1 millisecond');
  update session.sessions s
    set state = 'stopping', version = s.version + 1, updated_at = v_now, closing = v_closing
    where s.tenant_id = p_tenant and s.session_uid = p_live.session_uid;
  update session.heads h set state = 'stopping'
    where h.tenant_id = p_tenant and h.session_uid = p_live.session_uid;
  if command.has_open(p_tenant, p_live.session_uid) then
    v_events := array[row(p_live.session_uid, 'session.stopping', 1, null, p_live.task_id, p_request ->> 'actor',
                          p_request ->> 'address', jsonb_build_object('from', p_live.state)::text)::session.new_event];
  end if;
  return session.advance_stop(p_tenant, p_partition, p_live.session_uid, false, v_events);
end
$$;
