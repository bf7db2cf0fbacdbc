-- Cancels up to `p_limit` waiting commands of a session, oldest first, with force also running ones. Returns the
-- events. The partition is locked.
create or replace function command.cancel_open(p_tenant text, p_session_uid uuid, p_limit integer, p_force boolean,
                                               p_actor text)
returns session.new_event[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now    timestamptz := clock_timestamp();
  v_events session.new_event[];
begin
  with chosen as materialized (
    select c.ctid as at, c.command_id, c.state = 'running' as was_running, c.runner_id, c.attempt, c.started_at,
           c.correlation_id
    from command.commands c
    where c.tenant_id = p_tenant and c.session_uid = p_session_uid and c.finished_at is null
      and (c.state <> 'running' or p_force)
    order by c.enqueued_at, c.command_id limit p_limit
  ), ended as (
    update command.commands c
      set state = 'cancelled', finished_at = v_now, expires_at = v_now + c.retention_s * interval '1 second',
          next_attempt_at = null, lease_token = null, runner_id = null,
          cancel_requested_at = coalesce(c.cancel_requested_at, v_now),
          cancel_reason = coalesce(c.cancel_reason, 'session stopped')
      where c.ctid = any (array(select k.at from chosen k))
  ), dequeued as (
    delete from command.ready d
      where d.tenant_id = p_tenant and d.command_id = any (array(select k.command_id from chosen k))
  ), logged as (
    insert into command.attempts (tenant_id, command_id, attempt, runner_id, outcome, charged, started_at, ended_at)
      select p_tenant, k.command_id, k.attempt, k.runner_id, 'cancelled', false, k.started_at, v_now
      from chosen k where k.was_running
  )
  select array_agg(row(p_session_uid, 'command.cancelled', 4, k.command_id, k.correlation_id, p_actor, '',
                       jsonb_build_object('attempt', k.attempt, 'reason', 'session stopped',
                                          'forced', k.was_running)::text)::session.new_event)
    into v_events from chosen k;
  return coalesce(v_events, '{}');
end
$$;
