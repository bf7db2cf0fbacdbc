-- Ends attempts, fenced by their lease tokens. Item: {id, token, outcome: succeeded | retrying | released | failed |
-- cancelled, result (JSON text), large (store the result apart), error (JSON text), reason, delay_ms, charged, actor,
-- event, note, counted (false for a release that the command did not cause)}. `event` is the payload of the outcome's
-- event, `note` that of `command.dead_lettered`. In the result, `unblocked` says that the next command of an ordering
-- key may run.
create or replace function command.finish(p_tenant text, p_partition smallint, p_items json)
returns table (command_id uuid, code command.fence_code, state command.outcome, unblocked boolean,
               first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now    timestamptz;
  v_events session.new_event[];
  v_rows   command.finish_row[];
  v_keys   command.ordering[];
  v_done   session.appended;
  v_log    session.log;
begin
  v_log := session.lock_log(p_tenant, p_partition);
  v_now := clock_timestamp();
  with item as materialized (
    select * from command.resolve_finishes(p_tenant, p_partition, p_items)
  ), ended as (
    update command.commands c
      set state = case h.final when 'released' then 'retrying' else h.final end,
          charged = c.charged + h.is_charged::integer,
          released = c.released + (not h.is_charged and h.is_counted)::integer,
          lease_token = null, runner_id = null,
          result = case when h.final = 'succeeded' and not h.is_large then h.result end,
          error = case when h.final = 'succeeded' then null else h.error end,
          next_attempt_at = case when h.is_again then v_now + h.delay end,
          finished_at = case when not h.is_again then v_now end,
          expires_at = case when not h.is_again then v_now + c.retention_s * interval '1 second' end
      from item h where c.ctid = h.at and c.lease_token = h.token and c.state = 'running'
  ), stored_apart as (
    insert into command.results (tenant_id, command_id, result)
      select p_tenant, h.id, h.result from item h where h.final = 'succeeded' and h.is_large
      on conflict do nothing
  ), logged as (
    insert into command.attempts (tenant_id, command_id, attempt, runner_id, outcome, charged, error, started_at,
                                  ended_at)
      select p_tenant, h.id, h.attempt, h.runner_id, h.final, h.is_charged, h.error, h.started_at, v_now
      from item h where h.code = 'ok'
  ), enqueued as (
    insert into command.ready (tenant_id, command_id, partition, session_uid, priority, available_at, dispatch_after,
                               dispatch_no)
      select p_tenant, h.id, p_partition, h.session_uid, h.priority, v_now + h.delay, v_now + h.delay,
             h.attempt * 1000 + 1
      from item h where h.is_again
  ), dead_lettered as (
    insert into command.dead_letters (tenant_id, command_id, agent_id, session_id, type, correlation_id, reason,
                                      dead_at)
      select p_tenant, h.id, h.agent_id, h.session_id, h.type, h.correlation_id, h.reason, v_now
      from item h where h.final = 'failed'
  ), events as (
    select h.ord, 1 as sub, row(h.session_uid,
             case h.final when 'succeeded' then 'command.completed' when 'failed' then 'command.failed'
                          when 'cancelled' then 'command.cancelled' else 'command.retrying' end,
             case when h.is_again then 2 else 4 end, h.id, h.correlation_id, h.actor, '',
             command.finish_event(h.final, h.outcome, h.event, v_now + h.delay, h.attempt, h.cancel_reason)
           )::session.new_event as event
    from item h where h.code = 'ok'
    union all
    select h.ord, 2, row(h.session_uid, 'command.dead_lettered', 3, h.id, h.correlation_id, h.actor, '',
                         h.note)::session.new_event
    from item h where h.final = 'failed'
  )
  select (select array_agg(e.event order by e.ord, e.sub) from events e),
         array_agg(row(h.id, h.code, h.final)::command.finish_row order by h.ord),
         array_agg(distinct row(h.session_uid, h.ordering_key)::command.ordering)
           filter (where h.ordering_key is not null and not h.is_again)
    into v_events, v_rows, v_keys from item h;
  perform command.unblock(p_tenant, v_keys);
  v_done := session.append_locked(v_log, v_events);
  return query
    select r.id, r.code, r.state, v_keys is not null, v_done.first_position, v_done.last_position,
           case when r.n = 1 then v_done.notification end
    from unnest(v_rows) with ordinality as r(id, code, state, n);
end
$$;
