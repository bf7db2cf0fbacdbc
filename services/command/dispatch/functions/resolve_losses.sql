-- Finds the queued commands of lost dispatches, and decides which of them fail for good: those that have no attempt
-- left. Plain SQL without settings, so that the planner inlines it.
create or replace function command.resolve_losses(p_tenant text, p_partition smallint, p_ids uuid[])
returns table (at tid, command_id uuid, session_uid uuid, session_id text, agent_id text, type text,
               correlation_id text, attempt integer, ordering_key text, is_dead boolean)
language sql stable as $$
  select c.* from (select distinct unnest(p_ids) as id) i cross join lateral (
    select c.ctid, c.command_id, c.session_uid, c.session_id, c.agent_id, c.type, c.correlation_id, c.attempt + 1,
           c.ordering_key, c.charged + 1 >= c.max_attempts
    from command.commands c
    where c.tenant_id = p_tenant and c.command_id = i.id and c.partition = p_partition
      and command.can_claim(c.state) offset 0) c cross join lateral (
    select from command.ready d where d.tenant_id = p_tenant and d.command_id = c.command_id offset 0) d
$$;
