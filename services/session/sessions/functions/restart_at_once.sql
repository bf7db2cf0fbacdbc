-- Answers a stop or restart when no session is live. A restart starts the successor in this transaction.
create or replace function session.restart_at_once(p_tenant text, p_partition smallint, p_agent session.agents,
                                                   p_request jsonb)
returns session.stop_step language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_step session.stop_step;
  v_next jsonb := p_request -> 'successor';
  v_done session.appended;
begin
  v_step.code := 'none';
  if p_request ->> 'successor' is not null then
    v_done := session.append_events(p_tenant, p_partition,
                                    session.open(p_tenant, p_partition, p_agent, v_next, 0, null));
    v_step.first_position := v_done.first_position;
    v_step.last_position := v_done.last_position;
    v_step.notification := v_done.notification;
    v_step.code := 'started';
    v_step.next_uid := (v_next ->> 'session_uid')::uuid;
    v_step.next_snapshot := session.snapshot(p_tenant, v_step.next_uid);
  end if;
  if p_request ->> 'key' is not null then
    perform idempotency.finish(p_tenant, p_request ->> 'method', p_request ->> 'key', json_build_object(
      'uid', null, 'next_uid', v_step.next_uid, 'next_snapshot', v_step.next_snapshot)::text);
  end if;
  return v_step;
end
$$;
