-- Deletes up to `p_limit` expired keys, and returns how many. It skips keys that are locked. It compares with `now()`
-- because the planner uses an index only for a stable value, which `clock_timestamp()` is not.
create or replace function idempotency.forget_expired(p_limit integer) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $$
  with expired as materialized (
    select k.ctid as at from idempotency.keys k where k.expires_at < now()
    order by k.expires_at limit p_limit for update skip locked
  ), forgotten as (
    delete from idempotency.keys k where k.ctid = any (array(select e.at from expired e)) returning 1
  )
  select count(*) from forgotten
$$;
