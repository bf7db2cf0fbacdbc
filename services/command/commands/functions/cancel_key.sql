-- Cancels what is submitted under a key, whenever that is. Returns the command when there is one by now, to be cancelled
-- by its id, and null when the cancel was stored for the command to come. Submit takes the same row first of all, so one
-- of the two sees the other, whichever comes first.
create or replace function command.cancel_key(p_tenant text, p_key text, p_cancelled jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_id uuid;
begin
  insert into command.idempotency as k (tenant_id, method, key, hash, cancelled, expires_at)
    values (p_tenant, 'submit', p_key, '', p_cancelled, clock_timestamp() + interval '24 hours')
    on conflict (tenant_id, method, key) do update
      set hash = excluded.hash, command_id = null, expires_at = excluded.expires_at,
          cancelled = case when k.expires_at < clock_timestamp() or k.cancelled is null then excluded.cancelled
                           else k.cancelled end
      where k.expires_at < clock_timestamp() or k.command_id is null;
  if not found then
    select k.command_id into v_id from command.idempotency k
      where k.tenant_id = p_tenant and k.method = 'submit' and k.key = p_key;
  end if;
  return v_id;
end
$$;
