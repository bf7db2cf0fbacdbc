-- Cancels commands of one partition. Item: {id, mode: graceful | immediate | kill, grace_ms, reason, actor, address}. A
-- waiting command is cancelled at once. A running command is asked to stop, and the reconciler cancels it when its
-- grace is over. With `immediate` or `kill`, the command ends in this transaction and its lease is revoked: later
-- writes of its runner are fenced, and the runner stops the execution as soon as it is notified.
create or replace function command.cancel(p_tenant text, p_partition smallint, p_items json)
returns table (command_id uuid, code command.cancel_code, state command.command_state, runner_id uuid,
               first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_log    session.log;
  v_now    timestamptz;
  v_events session.new_event[];
  v_rows   command.cancel_row[];
  v_keys   command.ordering[];
  v_done   session.appended;
begin
  v_log := session.lock_log(p_tenant, p_partition);
  v_now := clock_timestamp();
  with found as materialized (
    select * from command.resolve_cancels(p_tenant, p_partition, p_items, v_now)
  ), requested as (
    update command.commands c
      set cancel_requested_at = coalesce(c.cancel_requested_at, v_now),
          cancel_reason = coalesce(c.cancel_reason, f.reason), cancel_deadline = least(c.cancel_deadline, f.deadline)
      from found f where f.code = 'requested' and c.ctid = f.at
  ), ended as (
    update command.commands c
      set state = 'cancelled', finished_at = v_now, expires_at = v_now + c.retention_s * interval '1 second',
          next_attempt_at = null, lease_token = null, runner_id = null,
          cancel_requested_at = coalesce(c.cancel_requested_at, v_now),
          cancel_reason = coalesce(c.cancel_reason, f.reason)
      from found f where f.code = 'cancelled' and c.ctid = f.at
  ), dequeued as (
    delete from command.ready d
      where d.tenant_id = p_tenant and d.command_id = any (array(select f.id from found f where f.code = 'cancelled'))
  ), logged as (
    insert into command.attempts (tenant_id, command_id, attempt, runner_id, outcome, charged, started_at, ended_at)
      select p_tenant, f.id, f.attempt, f.runner_id, 'cancelled', false, f.started_at, v_now
      from found f where f.code = 'cancelled' and f.state = 'running'
  ), killed as (
    update command.connections n set kill = true
      from (select p_tenant as tenant_id, f.session_uid, f.runner_id from found f
            where f.code = 'cancelled' and f.state = 'running' and f.mode = 'kill' offset 0) f
      where n.tenant_id = f.tenant_id and n.session_uid = f.session_uid and n.runner_id = f.runner_id
        and n.state = 'connected'
  ), events as (
    select f.ord, 1 as sub, row(f.session_uid, 'command.cancel_requested', 1, f.id, f.correlation_id, f.actor,
             f.address, jsonb_strip_nulls(jsonb_build_object(
               'attempt', f.attempt, 'mode', f.mode, 'reason', f.reason, 'deadline',
               case when f.code = 'requested' then session.iso_time(f.deadline) end))::text)::session.new_event as event
    from found f where f.code in ('requested', 'cancelled') and f.state = 'running' and not f.was_requested
    union all
    select f.ord, 2, row(f.session_uid, 'command.cancelled', 4, f.id, f.correlation_id, f.actor, f.address,
             jsonb_strip_nulls(jsonb_build_object('attempt', f.attempt, 'reason', f.reason, 'mode',
               case when f.state = 'running' then f.mode end))::text)::session.new_event
    from found f where f.code = 'cancelled'
  )
  select (select array_agg(e.event order by e.ord, e.sub) from events e),
         array_agg(row(f.id, f.code, case when f.code = 'cancelled' then 'cancelled' else f.state end,
                       case when f.code in ('requested', 'cancelled') then f.runner_id end)::command.cancel_row),
         array_agg(distinct row(f.session_uid, f.ordering_key)::command.ordering)
           filter (where f.code = 'cancelled' and f.ordering_key is not null)
    into v_events, v_rows, v_keys from found f;
  perform command.unblock(p_tenant, v_keys);
  v_done := session.append_locked(v_log, v_events);
  return query
    select r.id, r.code, r.state, r.runner_id, v_done.first_position, v_done.last_position,
           case when r.n = 1 then v_done.notification end
    from unnest(v_rows) with ordinality as r(id, code, state, runner_id, n);
end
$$;
