-- Advances the stop of a session by one transaction. It cancels up to 500 open commands, with force also the running
-- ones. When none is left, it ends the session, appends the closing event and starts the successor of a restart. The
-- last step also finishes the caller's idempotency key, so a stop survives the death of the service that began it.
create or replace function session.advance_stop(p_tenant text, p_partition smallint, p_session_uid uuid,
                                                p_force boolean, p_more session.new_event[] default '{}')
returns session.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_step   session.stop_step;
  v_row    session.sessions;
  v_cancel command.stop_step;
  v_events session.new_event[] := p_more;
  v_opened session.new_event[];
  v_done   session.appended;
begin
  perform session.lock_log(p_tenant, p_partition);
  v_step.session_uid := p_session_uid;
  select * into v_row from session.sessions s where s.tenant_id = p_tenant and s.session_uid = p_session_uid;
  if not found or v_row.state <> 'stopping' then
    v_step.code := case when v_row.session_uid is null then 'none' else 'stopped' end;
    v_step.snapshot := session.snapshot(p_tenant, p_session_uid);
    return v_step;
  end if;
  v_cancel := command.stop_session(p_tenant, p_partition, p_session_uid, 500, p_force,
                                   (v_row.closing ->> 'deadline')::timestamptz, v_row.closing ->> 'actor');
  v_events := v_events || v_cancel.events;
  v_step.open_commands := v_cancel.open_commands;
  v_step.runners := v_cancel.runners;
  v_step.code := 'stopping';
  if v_cancel.open_commands = 0 then
    v_step.code := 'stopped';
    v_events := v_events || session.close(v_row);
    v_opened := session.open_successor(p_tenant, p_partition, v_row);
    if v_opened is not null then
      v_events := v_events || v_opened;
      v_step.next_uid := (v_row.closing -> 'successor' ->> 'session_uid')::uuid;
    end if;
  end if;
  v_done := session.append_events(p_tenant, p_partition, v_events);
  v_step.first_position := v_done.first_position;
  v_step.last_position := v_done.last_position;
  v_step.notification := v_done.notification;
  v_step.snapshot := session.snapshot(p_tenant, p_session_uid);
  if v_step.next_uid is not null then
    v_step.next_snapshot := session.snapshot(p_tenant, v_step.next_uid);
  end if;
  if v_step.code = 'stopped' then
    perform session.finish_stop_keys(p_tenant, v_row.closing, v_step);
  end if;
  return v_step;
end
$$;
