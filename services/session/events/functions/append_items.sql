-- Appends callers' events: a batch of one partition in one transaction. Each item gets a code: accepted, or why not.
-- Item: {session_id, events: [{type, level, command_id, correlation_id, actor, address, payload}]}. `p_keys` and
-- `p_hashes` have an element for each item, or none when no item has a key.
create or replace function session.append_items(p_tenant text, p_partition smallint, p_items jsonb, p_keys text[],
                                                p_hashes bytea[])
returns table (ord integer, code session.append_code, first_seq bigint, last_seq bigint, detail text,
               first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_taken  idempotency.taken[];
  v_codes  text[];
  v_states text[];
  v_begin  integer[];
  v_end    integer[];
  v_events session.new_event[] := '{}';
  v_added  session.new_event[];
  v_target record;
  v_done   session.appended;
begin
  if cardinality(p_keys) > 0 then
    v_taken := idempotency.take(p_tenant, 'append', p_keys, p_hashes);
  end if;
  perform session.lock_log(p_tenant, p_partition);
  for v_index in 1 .. jsonb_array_length(p_items) loop
    v_codes[v_index] := (v_taken[v_index]).code;
    continue when v_codes[v_index] <> 'taken';
    select * into v_target
      from session.append_target(p_tenant, p_partition, p_items -> (v_index - 1) ->> 'session_id');
    v_codes[v_index] := v_target.code;
    v_states[v_index] := v_target.state;
    if v_target.code = 'ok' then
      select array_agg(row(v_target.session_uid, e.type, e.level, e.command_id, e.correlation_id, e.actor, e.address,
                           e.payload)::session.new_event order by e.ordinality) into v_added
        from rows from (jsonb_to_recordset(p_items -> (v_index - 1) -> 'events') as (
          type text, level smallint, command_id uuid, correlation_id text, actor text, address text, payload text
        )) with ordinality as e;
      v_begin[v_index] := cardinality(v_events) + 1;
      v_events := v_events || v_added;
      v_end[v_index] := cardinality(v_events);
    end if;
  end loop;
  v_done := session.append_events(p_tenant, p_partition, v_events);
  if cardinality(p_keys) > 0 then
    perform session.settle_appends(p_tenant, p_keys, v_taken, v_codes, v_begin, v_end, v_done.seqs);
  end if;
  return query
    select a.*, v_done.first_position, v_done.last_position, case when a.ord = 0 then v_done.notification end
    from session.answer_appends(v_taken, v_codes, v_states, v_begin, v_end, v_done.seqs) a;
end
$$;
