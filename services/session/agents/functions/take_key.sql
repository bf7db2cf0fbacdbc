-- Takes an idempotency key for up to 30 seconds. Returns 'taken', 'replay' when the key has an answer, 'running' when
-- another call holds it, or 'reused' when it belongs to another request. When the holder of a key has died, the key can
-- be taken again after its lease. Keys are taken before every other lock (rule 3).
create or replace function session.take_key(p_tenant text, p_method text, p_key text, p_hash bytea)
returns session.key_code language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_row session.idempotency;
begin
  insert into session.idempotency as k (tenant_id, method, key, hash, state, expires_at)
    values (p_tenant, p_method, p_key, p_hash, 'running', clock_timestamp() + interval '30 seconds')
    on conflict (tenant_id, method, key) do update
      set hash = excluded.hash, state = 'running', response = null, expires_at = excluded.expires_at
      where k.expires_at < clock_timestamp();
  if found then
    return 'taken';
  end if;
  select * into v_row from session.idempotency k
    where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key;
  if v_row.hash is distinct from p_hash then
    return 'reused';
  end if;
  return case v_row.state when 'done' then 'replay' else 'running' end;
end
$$;
