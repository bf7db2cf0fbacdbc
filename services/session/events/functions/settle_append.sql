-- Settles the key of an item of `append_items`: stores its answer, reads the answer for a replay, or drops the key.
-- Returns the item's answer.
create or replace function session.settle_append(
  p_tenant text, p_key text, inout code text, inout first_seq bigint, inout last_seq bigint
) language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if code = 'ok' then
    perform session.finish_key(p_tenant, 'append', p_key,
                               jsonb_build_object('first_seq', first_seq, 'last_seq', last_seq));
  elsif code = 'replay' then
    select 'ok', (k.response ->> 'first_seq')::bigint, (k.response ->> 'last_seq')::bigint
      into code, first_seq, last_seq
      from session.idempotency k where k.tenant_id = p_tenant and k.method = 'append' and k.key = p_key;
  elsif code not in ('reused', 'running') then
    perform session.drop_key(p_tenant, 'append', p_key);
  end if;
end
$$;
