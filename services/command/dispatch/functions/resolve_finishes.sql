-- Finds the running commands of a finish by their lease tokens and decides the final outcome of each. A cancel that was
-- requested before the end wins over every outcome. An item whose token is no longer valid gets the code 'fenced'.
-- Plain SQL without settings, so that the planner inlines it.
create or replace function command.resolve_finishes(p_tenant text, p_partition smallint, p_items json)
returns table (id uuid, token uuid, outcome text, result text, is_large boolean, error text, reason text,
               delay interval, is_charged boolean, actor text, event text, note text, is_counted boolean, ord bigint,
               at tid, session_uid uuid, session_id text, agent_id text, type text, correlation_id text,
               attempt integer, started_at timestamptz, runner_id uuid, ordering_key text, priority smallint,
               cancel_reason text, code command.fence_code, final command.outcome, is_again boolean)
language sql stable as $$
  select i.id, i.token, i.outcome, i.result, i.large, i.error, i.reason, i.delay_ms * interval '1 millisecond',
         i.charged and f.final <> 'released', i.actor, i.event, i.note, i.counted is not false, i.ord, c.at,
         c.session_uid, c.session_id, c.agent_id, c.type, c.correlation_id, c.attempt, c.started_at, c.runner_id,
         c.ordering_key, c.priority, c.cancel_reason, case when c.at is null then 'fenced' else 'ok' end, f.final,
         f.final in ('retrying', 'released')
  from rows from (json_to_recordset(p_items) as (
    id uuid, token uuid, outcome text, result text, large boolean, error text, reason text, delay_ms integer,
    charged boolean, actor text, event text, note text, counted boolean)) with ordinality
    as i(id, token, outcome, result, large, error, reason, delay_ms, charged, actor, event, note, counted, ord)
  left join lateral (
    select c.ctid as at, c.session_uid, c.session_id, c.agent_id, c.type, c.correlation_id, c.attempt, c.started_at,
           c.runner_id, c.ordering_key, c.priority, c.cancel_reason, c.cancel_requested_at from command.commands c
    where c.tenant_id = p_tenant and c.command_id = i.id and c.lease_token = i.token and c.state = 'running'
      and c.partition = p_partition offset 0) c on true
  cross join lateral (
    select case when c.at is null then null
                when c.cancel_requested_at is not null then 'cancelled' else i.outcome end as final) f
$$;
