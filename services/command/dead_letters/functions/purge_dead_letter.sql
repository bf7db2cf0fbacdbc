-- Purges one dead letter in one transaction with the caller's key. Returns 'ok', 'replay', 'reused' or 'gone'. With
-- 'gone' the key is not kept.
create or replace function command.purge_dead_letter(p_tenant text, p_key text, p_hash bytea, p_id uuid)
returns command.purge_code
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_code text := ((idempotency.take(p_tenant, 'purge', array[p_key], array[p_hash], array['']))[1]).code;
begin
  if coalesce(v_code, 'taken') = 'taken' then
    v_code := 'ok';
    delete from command.dead_letters l where l.tenant_id = p_tenant and l.command_id = p_id;
    if not found then
      perform idempotency.release(p_tenant, 'purge', array[p_key], 'done');
      v_code := 'gone';
    end if;
  end if;
  return v_code;
end
$$;
