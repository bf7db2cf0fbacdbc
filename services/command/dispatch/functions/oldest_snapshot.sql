-- Returns the age in seconds of the oldest snapshot of this database. Vacuum cannot remove rows that died after it was
-- taken, so appends, which update the same rows again and again, become ten times slower (concurrency, rule 13). Other
-- users' sessions are included if this function's owner may see them (a superuser, or a member of pg_monitor).
create or replace function command.oldest_snapshot() returns double precision
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select greatest(0, extract(epoch from clock_timestamp() - least(
    (select min(a.xact_start) from pg_stat_activity a
      where a.backend_xmin is not null and a.datname = current_database() and a.pid <> pg_backend_pid()),
    (select min(p.prepared) from pg_prepared_xacts p where p.database = current_database()),
    clock_timestamp())))
$$;
