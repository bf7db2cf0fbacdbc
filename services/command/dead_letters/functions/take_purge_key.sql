-- Takes the key of a purge in the transaction that purges: a twin waits for it here, and then finds the answer. Returns
-- 'ok', 'replay' with the answer, or 'reused'. Without a key it returns 'ok'.
create or replace function command.take_purge_key(
  p_tenant text, p_method text, p_key text, p_hash bytea, p_id uuid, out code command.purge_code, out answer text
) language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  code := 'ok';
  if p_key is not null then
    insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at)
      values (p_tenant, p_method, p_key, p_hash, p_id, clock_timestamp() + interval '24 hours')
      on conflict (tenant_id, method, key) do update
        set hash = case when k.expires_at < now() then excluded.hash else k.hash end,
            answer = case when k.expires_at < now() then null else k.answer end,
            expires_at = case when k.expires_at < now() then excluded.expires_at else k.expires_at end
      returning case when old.hash is null or old.expires_at < new.expires_at then 'ok'
                     when new.hash = p_hash then 'replay' else 'reused' end, new.answer into code, answer;
  end if;
end
$$;
