-- Ends a stopping session in the state that its stop requested, and returns its last event. The partition is locked.
create or replace function session.close(p_session session.sessions) returns session.new_event
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_closing jsonb := p_session.closing;
begin
  update session.sessions s
    set state = v_closing ->> 'state', error = v_closing -> 'error', version = s.version + 1, updated_at = v_now,
        ended_at = v_now
    where s.tenant_id = p_session.tenant_id and s.session_uid = p_session.session_uid;
  update session.heads h set state = v_closing ->> 'state'
    where h.tenant_id = p_session.tenant_id and h.session_uid = p_session.session_uid;
  return row(
    p_session.session_uid, 'session.' || (v_closing ->> 'state'), 4, null, p_session.task_id, v_closing ->> 'actor',
    v_closing ->> 'address', jsonb_strip_nulls(jsonb_build_object(
      'reason', v_closing ->> 'reason', 'error', v_closing -> 'error'))::text)::session.new_event;
end
$$;
