-- Takes the key of a stop. Returns null when the stop may proceed, otherwise the step that answers it: a replay, or why
-- the key cannot be used.
create or replace function session.take_stop_key(p_tenant text, p_request jsonb) returns session.stop_step
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_step   session.stop_step;
  v_taken  session.key_code;
  v_key    text := p_request ->> 'key';
  v_method text := p_request ->> 'method';
begin
  if v_key is null then
    return null;
  end if;
  v_taken := session.take_key(p_tenant, v_method, v_key, decode(p_request ->> 'hash', 'hex'));
  if v_taken = 'taken' then
    return null;
  end if;
  if v_taken = 'replay' then
    select 'replayed', (k.response ->> 'uid')::uuid, k.response -> 'snapshot', (k.response ->> 'next_uid')::uuid,
           k.response -> 'next_snapshot'
      into v_step.code, v_step.session_uid, v_step.snapshot, v_step.next_uid, v_step.next_snapshot
      from session.idempotency k where k.tenant_id = p_tenant and k.method = v_method and k.key = v_key;
  else
    v_step.code := v_taken;
  end if;
  return v_step;
end
$$;
