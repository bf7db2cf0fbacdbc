-- Completes the keys that this transaction took: a key with a response becomes done, any other key is released.
create or replace function idempotency.settle(p_tenant text, p_method text, p_keys text[], p_responses text[])
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  update idempotency.keys k
    set state = 'done', lease_until = null, response = s.response
    from (select p_tenant as tenant_id, p_method as method, s.key, s.response
          from unnest(p_keys, p_responses) as s(key, response) where s.response is not null offset 0) s
    where k.tenant_id = s.tenant_id and k.method = s.method and k.key = s.key;
  if array_position(p_responses, null) is not null then
    perform idempotency.release(p_tenant, p_method, array(
      select s.key from unnest(p_keys, p_responses) as s(key, response) where s.response is null), 'running');
  end if;
end
$$;
