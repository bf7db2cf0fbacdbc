-- Appends callers' events: a batch of one partition in one transaction. Each item gets a code: accepted, or why not.
-- Item: {session_id, key, hash (hex), events: [{type, level, command_id, correlation_id, actor, address, payload}]}.
create or replace function session.append_items(p_tenant text, p_partition smallint, p_items jsonb)
returns table (ord integer, code session.append_code, first_seq bigint, last_seq bigint, detail text,
               first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_codes  text[] := session.take_keys(p_tenant, 'append', p_items);
  v_states text[];
  v_begin  integer[];
  v_end    integer[];
  v_events session.new_event[] := '{}';
  v_added  session.new_event[];
  v_target record;
  v_code   text;
  v_done   session.appended;
begin
  perform session.lock_log(p_tenant, p_partition);
  for v_index in 1 .. cardinality(v_codes) loop
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
  first_position := v_done.first_position;
  last_position := v_done.last_position;
  notification := v_done.notification;
  for v_index in 1 .. cardinality(v_codes) loop
    ord := v_index - 1;
    v_code := v_codes[v_index];
    detail := case when v_code = 'not_active' then v_states[v_index] end;
    first_seq := v_done.seqs[v_begin[v_index]];
    last_seq := v_done.seqs[v_end[v_index]];
    if p_items -> ord ->> 'key' is not null then
      select * into v_code, first_seq, last_seq
        from session.settle_append(p_tenant, p_items -> ord ->> 'key', v_code, first_seq, last_seq);
    end if;
    code := v_code;
    return next;
    notification := null;
  end loop;
end
$$;
