-- Drops a key without storing an answer, so that the caller may use it again. Does nothing without a key.
create or replace function session.drop_key(p_tenant text, p_method text, p_key text)
returns void language sql set search_path = pg_catalog, pg_temp as $$
  delete from session.idempotency k where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key
$$;
