-- Finds the commands of a cancel and decides the code of each: 'gone', 'finished', 'requested' for a running command
-- with time to stop, otherwise 'cancelled'. Repeated cancels of one command share the row of the first. Plain SQL
-- without settings, so that the planner inlines it.
create or replace function command.resolve_cancels(p_tenant text, p_partition smallint, p_items json, p_now timestamptz)
returns table (id uuid, ord bigint, mode text, reason text, actor text, address text, deadline timestamptz,
               code command.cancel_code, at tid, state command.command_state, session_uid uuid, correlation_id text,
               attempt integer, runner_id uuid, started_at timestamptz, ordering_key text, was_requested boolean)
language sql stable as $$
  select i.id, i.ord, i.mode, i.reason, i.actor, i.address, p_now + i.grace_ms * interval '1 millisecond',
         case when c.at is null then 'gone'
              when c.finished_at is not null then 'finished'
              when c.state = 'running' and i.mode = 'graceful' and i.grace_ms > 0 then 'requested'
              else 'cancelled' end,
         c.at, c.state, c.session_uid, c.correlation_id, c.attempt, c.runner_id, c.started_at, c.ordering_key,
         c.cancel_requested_at is not null
  from (
    select distinct on (i.id) i.* from rows from (json_to_recordset(p_items) as (
      id uuid, mode text, grace_ms integer, reason text, actor text, address text)) with ordinality
      as i(id, mode, grace_ms, reason, actor, address, ord)
    order by i.id, i.ord) i
  left join lateral (
    select c.ctid as at, c.state, c.session_uid, c.correlation_id, c.attempt, c.runner_id, c.started_at,
           c.ordering_key, c.cancel_requested_at, c.finished_at
    from command.commands c
    where c.tenant_id = p_tenant and c.command_id = i.id and c.partition = p_partition offset 0) c on true
$$;
