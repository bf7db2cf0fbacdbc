-- Stores the answer for a key. Later calls with the key replay it.
create or replace function session.finish_key(p_tenant text, p_method text, p_key text, p_response jsonb)
returns void language sql set search_path = pg_catalog, pg_temp as $$
  update session.idempotency k
  set state = 'done', response = p_response, expires_at = clock_timestamp() + interval '24 hours'
  where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key
$$;
