-- Marks the dead letters that a submit requeued, and releases the keys of rejected items, which can then be used again.
-- A cancel that waits for the key keeps waiting.
create or replace function command.settle_submits(p_tenant text, p_method text, p_rows command.submit_row[],
                                                  p_keys text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_rejected text[];
begin
  if p_method = 'requeue' then
    update command.dead_letters l set requeued_as = r.id
      from (select p_tenant as tenant_id, r.id, r.requeued_from from unnest(p_rows) as r where r.code = 'ok' offset 0) r
      where l.tenant_id = r.tenant_id and l.command_id = r.requeued_from;
  end if;
  if cardinality(p_keys) > 0 then
    select array_agg(p_keys[r.ord + 1]) into v_rejected
      from unnest(p_rows) as r where r.code not in ('ok', 'replay', 'reused');
    if v_rejected is not null then
      perform idempotency.release(p_tenant, p_method, v_rejected, 'done');
    end if;
  end if;
end
$$;
