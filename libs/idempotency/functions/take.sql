-- Takes the keys of one operation, and returns a result for each. It runs before any other lock is taken, and locks the
-- keys in order, so that two batches never wait for each other (rule 3).
--
-- A key with a response is done at once. A key without one is leased to the call for `p_lease`. A key can be taken when
-- it is new, has expired or was not used yet, and by the same request when its lease has expired. A null key is always
-- taken. Equal keys of a batch must have different hashes.
create or replace function idempotency.take(p_tenant text, p_method text, p_keys text[], p_hashes bytea[],
                                            p_responses text[] default null, p_lease interval default '30 seconds')
returns idempotency.taken[] language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_at      tid[];
  v_all_new boolean;
begin
  with stored as (
    insert into idempotency.keys as k (tenant_id, method, key, hash, state, lease_until, response, expires_at)
      select distinct on (i.key) p_tenant, p_method, i.key, i.hash,
             case when i.response is null then 'running' else 'done' end,
             case when i.response is null then v_now + p_lease end, i.response, v_now + interval '24 hours'
      from unnest(p_keys, p_hashes, p_responses) with ordinality as i(key, hash, response, ord)
      where i.key is not null order by i.key, i.ord
      on conflict (tenant_id, method, key) do update
        set hash = excluded.hash, state = excluded.state, lease_until = excluded.lease_until,
            plan = case when k.expires_at >= v_now then k.plan end, response = excluded.response,
            note = case when k.expires_at >= v_now then k.note end, expires_at = excluded.expires_at
        where k.expires_at < v_now or k.state = 'waiting'
          or k.state = 'running' and k.lease_until < v_now and k.hash = excluded.hash
      returning k.ctid as at, old.key is null as is_new
  )
  select array_agg(s.at), count(*) = cardinality(array_remove(p_keys, null)) and bool_and(s.is_new)
    into v_at, v_all_new from stored s;
  if v_all_new then
    return array_fill(row('taken', null, null, null)::idempotency.taken, array[cardinality(p_keys)]);
  end if;
  return idempotency.answer_taken(p_tenant, p_method, p_keys, p_hashes, v_at);
end
$$;
