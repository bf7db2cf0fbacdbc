-- Marks the dead letters that a submit requeued, and gives the keys of rejected items back: the same key may be tried
-- again. A cancel that waits under a key goes on waiting.
create or replace function command.settle_submits(p_tenant text, p_method text, p_rows command.submit_row[],
                                                  p_keyed boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if p_method = 'requeue' then
    update command.dead_letters l set requeued_as = r.id
      from (select p_tenant as tenant_id, r.id, r.requeued_from from unnest(p_rows) as r where r.code = 'ok' offset 0) r
      where l.tenant_id = r.tenant_id and l.command_id = r.requeued_from;
  end if;
  if p_keyed then
    update command.idempotency k set command_id = null, hash = ''
      where k.tenant_id = p_tenant and k.method = p_method and k.cancelled is not null and k.key = any (array(
        select r.key from unnest(p_rows) as r where r.code not in ('ok', 'replay', 'reused')));
    delete from command.idempotency k
      where k.tenant_id = p_tenant and k.method = p_method and k.cancelled is null and k.key = any (array(
        select r.key from unnest(p_rows) as r where r.code not in ('ok', 'replay', 'reused')));
  end if;
end
$$;
