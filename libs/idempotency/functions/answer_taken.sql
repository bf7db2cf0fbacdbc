-- Returns the results of `take` when some of the keys existed before. `p_at` holds the rows that `take` took. `take`
-- has locked the other rows, and only a later statement sees their contents.
create or replace function idempotency.answer_taken(p_tenant text, p_method text, p_keys text[], p_hashes bytea[],
                                                    p_at tid[])
returns idempotency.taken[] language sql stable set search_path = pg_catalog, pg_temp as $$
  select array_agg(case
           when i.key is null then row('taken', null, null, null)::idempotency.taken
           when k.hash <> i.hash then row('reused', null, null, null)::idempotency.taken
           when k.at = any (p_at) then row('taken', k.plan, null, k.note)::idempotency.taken
           when k.state = 'done' then row('replay', k.plan, k.response, null)::idempotency.taken
           else row('in_use', null, null, null)::idempotency.taken end order by i.ord)
  from unnest(p_keys, p_hashes) with ordinality as i(key, hash, ord)
  left join lateral (
    select k.ctid as at, k.hash, k.state, k.plan, k.response, k.note from idempotency.keys k
    where k.tenant_id = p_tenant and k.method = p_method and k.key = i.key offset 0) k on true
$$;
