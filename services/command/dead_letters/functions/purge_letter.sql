-- Purges one dead letter in one transaction with the caller's key. Returns 'ok', 'replay', 'reused' or 'gone'. With
-- 'gone' the key is not kept.
create or replace function command.purge_letter(p_tenant text, p_key text, p_hash bytea, p_id uuid) returns command.purge_code
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_code command.purge_code := (command.take_purge_key(p_tenant, 'purge', p_key, p_hash, p_id)).code;
begin
  if v_code = 'ok' then
    delete from command.dead_letters l where l.tenant_id = p_tenant and l.command_id = p_id;
    if not found then
      delete from command.idempotency k where k.tenant_id = p_tenant and k.method = 'purge' and k.key = p_key;
      v_code := 'gone';
    end if;
  end if;
  return v_code;
end
$$;
