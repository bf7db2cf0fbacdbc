-- Submits commands: a batch of one partition in one transaction. Each item gets a code: accepted, or why not. `p_items`
-- holds rows of `submit_item`, each with `agent_id` or `session_id`. `p_agents` and `p_sessions` are the ids that they
-- name. `p_keys`, `p_hashes` and `p_ids` have an element for each item, or none when no item has a key.
create or replace function command.submit(p_tenant text, p_partition smallint, p_items json, p_method text,
  p_agents text[], p_sessions text[], p_keys text[], p_hashes bytea[], p_ids text[])
returns table (ord integer, code command.submit_code, command_id uuid, correlation_id text, agent_id text,
               session_id text, enqueued_at timestamptz, runner_id uuid, state session.session_state,
               first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_taken  idempotency.taken[] := case when cardinality(p_keys) > 0 then
                                  idempotency.take(p_tenant, p_method, p_keys, p_hashes, p_ids) end;
  v_now    timestamptz;
  v_events session.new_event[];
  v_rows   command.submit_row[];
  v_done   session.appended;
  v_log    session.log;
begin
  v_log := session.lock_log(p_tenant, p_partition);
  v_now := clock_timestamp();
  with resolved as materialized (
    select * from command.resolve_submits(p_tenant, p_partition, p_items, v_taken, p_agents, p_sessions)
  ), stored as (
    insert into command.commands (
      tenant_id, command_id, partition, session_uid, session_id, agent_id, type, params, correlation_id, requested_by,
      requeued_from, max_attempts, options, priority, not_before, ordering_key, retention_s, state, enqueued_at,
      next_attempt_at, finished_at, expires_at, cancel_requested_at, cancel_reason)
    select p_tenant, r.id, p_partition, r.uid, r.sid, r.aid, r.type, r.params, r.correlation_id, r.actor,
           r.requeued_from, r.max_attempts, r.options, r.priority, r.not_before, r.ordering_key, r.retention_s,
           case when r.cancelled is not null then 'cancelled' when r.not_before > v_now then 'scheduled'
                else 'queued' end,
           -- Ordering keys use this time, so it follows the order of the batch.
           v_now + (r.ord - 1) * interval '1 microsecond',
           case when r.cancelled is null and r.not_before > v_now then r.not_before end,
           case when r.cancelled is not null then v_now end,
           case when r.cancelled is not null then v_now + r.retention_s * interval '1 second' end,
           case when r.cancelled is not null then v_now end, r.cancelled ->> 'reason'
    from resolved r where r.code = 'ok' order by r.ord
  ), events as (
    select r.ord, 1 as sub, row(r.uid, 'command.enqueued', 4, r.id, r.correlation_id, r.actor, r.address,
                                r.event)::session.new_event as event
    from resolved r where r.code = 'ok'
    union all
    select r.ord, 2, row(r.uid, 'command.requeued', 4, r.id, r.correlation_id, r.actor, r.address,
                         jsonb_build_object('requeuedFrom', r.requeued_from)::text)::session.new_event
    from resolved r where r.code = 'ok' and r.requeued_from is not null
    union all
    select r.ord, 3, row(r.uid, 'command.cancelled', 4, r.id, r.correlation_id, r.cancelled ->> 'actor',
                         r.cancelled ->> 'address', jsonb_strip_nulls(jsonb_build_object(
                           'attempt', 0, 'reason', r.cancelled ->> 'reason'))::text)::session.new_event
    from resolved r where r.code = 'ok' and r.cancelled is not null
  ), enqueued as (
    insert into command.ready (tenant_id, command_id, partition, session_uid, priority, available_at, dispatch_after,
                               blocked)
    select p_tenant, r.id, p_partition, r.uid, r.priority, greatest(r.not_before, v_now),
           case when r.owner is null then 'infinity' when r.not_before > v_now then r.not_before
                else v_now + interval '1 second' end,
           r.ordering_key is not null and (
             exists (select from command.commands c
                     where c.tenant_id = p_tenant and c.session_uid = r.uid and c.ordering_key = r.ordering_key
                       and c.finished_at is null)
             or exists (select from resolved o where o.code = 'ok' and o.cancelled is null and o.uid = r.uid
                        and o.ordering_key = r.ordering_key and o.ord < r.ord))
    from resolved r where r.code = 'ok' and r.cancelled is null
    returning command_id, blocked
  )
  select (select array_agg(e.event order by e.ord, e.sub) from events e),
         array_agg(row(r.ord - 1, r.code, r.id, r.prior_id, r.correlation_id, r.aid, r.sid, r.agent_id,
                       case when coalesce(r.not_before <= v_now, true) and b.blocked is false then r.owner end,
                       r.session_state, r.requeued_from)::command.submit_row order by r.ord)
    into v_events, v_rows
    from resolved r left join enqueued b on b.command_id = r.id;
  v_done := session.append_locked(v_log, v_events);
  perform command.settle_submits(p_tenant, p_method, v_rows, p_keys);
  return query select a.*, v_done.first_position, v_done.last_position, case when a.ord = 0 then v_done.notification end
    from command.answer_submits(p_tenant, p_agents, v_rows, v_now) a;
end
$$;
