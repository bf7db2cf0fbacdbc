-- Purges those of the dead letters that no other transaction has locked. Returns the ids that it purged and those that
-- are left. With `p_requeued` true or false it takes only dead letters that were requeued, or were not.
create or replace function command.purge_unlocked(
  p_tenant text, p_ids uuid[], p_requeued boolean, out purged uuid[], out remaining uuid[]
) language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  with chosen as materialized (
    select l.at from (select distinct unnest(p_ids) as id) i cross join lateral (
      select l.ctid as at from command.dead_letters l
      where l.tenant_id = p_tenant and l.command_id = i.id
        and (p_requeued is null or (l.requeued_as is not null) = p_requeued)
      for update skip locked) l
  ), deleted as (
    delete from command.dead_letters l where l.ctid = any (array(select c.at from chosen c)) returning l.command_id
  )
  select coalesce(array_agg(d.command_id), '{}') into purged from deleted d;
  select array_agg(i.id) into remaining from (select distinct unnest(p_ids) as id) i cross join lateral (
    select l.command_id from command.dead_letters l
    where l.tenant_id = p_tenant and l.command_id = i.id
      and (p_requeued is null or (l.requeued_as is not null) = p_requeued) offset 0) l;
end
$$;
