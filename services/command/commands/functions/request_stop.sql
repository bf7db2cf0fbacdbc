-- Requests the running commands of a session to stop by a deadline. Returns the events. The partition is locked.
create or replace function command.request_stop(p_tenant text, p_session_uid uuid, p_deadline timestamptz, p_actor text)
returns session.new_event[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_events session.new_event[];
begin
  with requested as (
    update command.commands c set cancel_requested_at = clock_timestamp(), cancel_deadline = p_deadline,
                                  cancel_reason = 'session stopped'
      where c.tenant_id = p_tenant and c.session_uid = p_session_uid and c.finished_at is null
        and c.state = 'running' and c.cancel_requested_at is null
      returning c.command_id, c.correlation_id, c.attempt
  )
  select array_agg(row(p_session_uid, 'command.cancel_requested', 1, r.command_id, r.correlation_id, p_actor, '',
                       jsonb_build_object('attempt', r.attempt, 'mode', 'graceful', 'reason', 'session stopped',
                                          'deadline', session.iso_time(p_deadline))::text)::session.new_event)
    into v_events from requested r;
  return coalesce(v_events, '{}');
end
$$;
