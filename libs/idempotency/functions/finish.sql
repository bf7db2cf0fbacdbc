-- Stores the response of a key and returns the response that is stored. The first response is kept: when one call has
-- taken the key over from another, both get the same answer. Returns null for a key that expired meanwhile.
create or replace function idempotency.finish(p_tenant text, p_method text, p_key text, p_response text)
returns text language sql security definer set search_path = pg_catalog, pg_temp as $$
  update idempotency.keys k
    set state = 'done', lease_until = null, response = coalesce(k.response, p_response)
    where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key
    returning k.response
$$;
