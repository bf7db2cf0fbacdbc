-- Starts sessions: a batch of one partition in one transaction. Each item gets a code: accepted, or why not.
-- Item: {session_uid, session_id, agent_id, fail_on_conflict, actor, address, and the fields of the spec}. `p_keys` and
-- `p_hashes` have an element for each item, or none when no item has a key.
create or replace function session.start(p_tenant text, p_partition smallint, p_items jsonb, p_keys text[],
                                         p_hashes bytea[])
returns table (ord integer, code session.start_code, session_uid uuid, snapshot jsonb, detail text,
               first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_taken     idempotency.taken[];
  v_results   session.start_result[];
  v_result    session.start_result;
  v_events    session.new_event[] := '{}';
  v_done      session.appended;
  v_keys      text[];
  v_responses text[];
begin
  if cardinality(p_keys) > 0 then
    v_taken := idempotency.take(p_tenant, 'start', p_keys, p_hashes);
  end if;
  perform session.lock_log(p_tenant, p_partition);
  for v_index in 1 .. jsonb_array_length(p_items) loop
    if (v_taken[v_index]).code <> 'taken' then
      v_result := row((v_taken[v_index]).code, null, null, null);
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
  for v_index in 1 .. cardinality(v_results) loop
    v_result := v_results[v_index];
    ord := v_index - 1;
    detail := v_result.detail;
    select * into code, session_uid, snapshot
      from session.answer_start(p_tenant, (v_taken[v_index]).response, v_result.code, v_result.session_uid);
    if (v_taken[v_index]).code = 'taken' then
      v_keys[v_index] := p_keys[v_index];
      v_responses[v_index] := case when snapshot is not null then
        json_build_object('code', code, 'uid', session_uid, 'snapshot', snapshot)::text end;
    end if;
    return next;
    notification := null;
  end loop;
  if v_keys is not null then
    perform idempotency.settle(p_tenant, 'start', v_keys, v_responses);
  end if;
end
$$;
