-- Takes the key of a stop. Returns null when the stop may proceed, otherwise the step that answers it: a replay, or why
-- the key cannot be used.
create or replace function session.take_stop_key(p_tenant text, p_request jsonb) returns session.stop_step
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_step  session.stop_step;
  v_taken idempotency.taken;
begin
  if p_request ->> 'key' is null then
    return null;
  end if;
  v_taken := (idempotency.take(p_tenant, p_request ->> 'method', array[p_request ->> 'key'],
                               array[decode(p_request ->> 'hash', 'hex')]))[1];
  if v_taken.code = 'taken' then
    return null;
  end if;
  if v_taken.code = 'replay' then
    select 'replayed', a.uid, a.snapshot, a.next_uid, a.next_snapshot
      into v_step.code, v_step.session_uid, v_step.snapshot, v_step.next_uid, v_step.next_snapshot
      from json_to_record(v_taken.response::json)
        as a(uid uuid, snapshot jsonb, next_uid uuid, next_snapshot jsonb);
  else
    v_step.code := v_taken.code;
  end if;
  return v_step;
end
$$;
