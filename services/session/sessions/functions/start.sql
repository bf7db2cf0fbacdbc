-- Starts sessions: a batch of one partition in one transaction. Each item gets a code: accepted, or why not. Item:
-- {session_uid, session_id, agent_id, fail_on_conflict, key, hash (hex), actor, address, and the fields of the spec}.
create or replace function session.start(p_tenant text, p_partition smallint, p_items jsonb)
returns table (ord integer, code session.start_code, session_uid uuid, snapshot jsonb, detail text,
               first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_codes   text[] := session.take_keys(p_tenant, 'start', p_items);
  v_results session.start_result[];
  v_result  session.start_result;
  v_events  session.new_event[] := '{}';
  v_done    session.appended;
begin
  perform session.lock_log(p_tenant, p_partition);
  for v_index in 1 .. cardinality(v_codes) loop
    if v_codes[v_index] <> 'taken' then
      v_result := row(v_codes[v_index], null, null, null);
    else
      v_result := session.start_one(p_tenant, p_partition, p_items -> (v_index - 1));
    end if;
    v_events := v_events || v_result.events;
    v_results[v_index] := v_result;
  end loop;
  v_done := session.append_events(p_tenant, p_partition, v_events);
  first_position := v_done.first_position;
  last_position := v_done.last_position;
  notification := v_done.notification;
  for v_index in 1 .. cardinality(v_codes) loop
    v_result := v_results[v_index];
    ord := v_index - 1;
    detail := v_result.detail;
    select * into code, session_uid, snapshot
      from session.settle_start(p_tenant, p_items -> ord ->> 'key', v_result.code, v_result.session_uid);
    return next;
    notification := null;
  end loop;
end
$$;
