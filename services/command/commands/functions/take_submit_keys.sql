-- Takes the idempotency keys of a submit, before every lock (rule 3). A key that is new, has expired or waits for its
-- command gets the item's id. One key may come twice in a batch, with different bodies: it goes to the first.
create or replace function command.take_submit_keys(p_tenant text, p_method text, p_items json) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at)
  select distinct on (i.key) p_tenant, p_method, i.key, decode(i.hash, 'hex'), i.id,
         clock_timestamp() + interval '24 hours'
  from rows from (json_to_recordset(p_items) as (key text, hash text, id uuid)) with ordinality
    as i(key, hash, id, ord)
  where i.key is not null order by i.key, i.ord
  on conflict (tenant_id, method, key) do update
    set hash = excluded.hash, command_id = excluded.command_id, expires_at = excluded.expires_at,
        cancelled = case when k.expires_at >= clock_timestamp() then k.cancelled end
    where k.expires_at < clock_timestamp() or k.command_id is null
$$;
