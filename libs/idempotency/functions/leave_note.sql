-- Stores a note for the first use of a key, for 24 hours. The first note is kept. Returns null, or the response of a
-- key that was used before. `take` locks the same row before anything else, so one of the two sees the other, whichever
-- comes first. For operations that take their keys with a response.
create or replace function idempotency.leave_note(p_tenant text, p_method text, p_key text, p_note jsonb)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now      timestamptz := clock_timestamp();
  v_response text;
begin
  insert into idempotency.keys as k (tenant_id, method, key, hash, state, note, expires_at)
    values (p_tenant, p_method, p_key, '', 'waiting', p_note, v_now + interval '24 hours')
    on conflict (tenant_id, method, key) do update
      set hash = excluded.hash, state = excluded.state, lease_until = null, plan = null, response = null,
          note = case when k.expires_at >= v_now then k.note else excluded.note end, expires_at = excluded.expires_at
      where k.expires_at < v_now or k.state = 'waiting';
  if not found then
    select k.response into v_response from idempotency.keys k
      where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key;
  end if;
  return v_response;
end
$$;
