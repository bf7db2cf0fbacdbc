-- Returns the first events of a session: its start and, after a restart, which session it follows.
create or replace function session.opening_events(p_item jsonb, p_restart_count integer, p_previous text)
returns session.new_event[] language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  v_uid    uuid := (p_item ->> 'session_uid')::uuid;
  v_task   text := p_item ->> 'task_id';
  v_events session.new_event[];
begin
  v_events := array[row(v_uid, 'session.started', 4, null, v_task, p_item ->> 'actor', p_item ->> 'address',
    jsonb_build_object('restartCount', p_restart_count, 'sessionType', p_item ->> 'session_type',
                       'mode', p_item ->> 'mode', 'taskId', v_task)::text)::session.new_event];
  if p_previous is not null then
    v_events := v_events || row(v_uid, 'session.restarted', 4, null, v_task, p_item ->> 'actor', p_item ->> 'address',
      jsonb_build_object('restartCount', p_restart_count, 'previousSessionId', p_previous,
                         'reason', p_item ->> 'reason')::text)::session.new_event;
  end if;
  return v_events;
end
$$;
