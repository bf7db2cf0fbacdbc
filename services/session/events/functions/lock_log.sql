-- Locks a log partition and returns its row. This lock is taken after the idempotency keys and before every other lock
-- (rule 3).
create or replace function session.lock_log(p_tenant text, p_partition smallint) returns session.log
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_log session.log;
begin
  select * into v_log from session.log l where l.tenant_id = p_tenant and l.partition = p_partition for update;
  if not found then
    raise exception 'tenant % has no log partition %', p_tenant, p_partition using errcode = 'CB001';
  end if;
  return v_log;
end
$$;
