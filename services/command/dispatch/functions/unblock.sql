-- Unblocks the next command of each ordering key, after the one before it has ended. The partition is locked.
create or replace function command.unblock(p_tenant text, p_keys command.ordering[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  update command.ready d set blocked = false, dispatch_after = d.available_at
  where d.tenant_id = p_tenant and d.blocked and d.command_id = any (array(
    select c.command_id from unnest(p_keys) as k cross join lateral (
      select c.command_id from command.commands c
      where c.tenant_id = p_tenant and c.session_uid = k.session_uid and c.ordering_key = k.ordering_key
        and c.finished_at is null
      order by c.enqueued_at, c.command_id limit 1) c))
$$;
