-- As before, but that a command which is dead has no next attempt.

-- The dispatch of queued commands was delivered as often as the broker allows, and nobody claimed them. Each is
-- charged one attempt (rule 7): it is dispatched again, or dead when that was its last.
create or replace function command.dispatch_lost(p_tenant text, p_part smallint, p_ids uuid[], p_error text, p_actor text)
returns table (command_id uuid, state text, first_position bigint, last_position bigint, hint text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now    timestamptz;
  v_events session.new_event[];
  v_rows   command.finish_row[];
  v_keys   command.ordering[];
  v_done   session.appended;
begin
  perform session.lock_log(p_tenant, p_part);
  v_now := clock_timestamp();
  with lost as materialized (
    select c.* from (select distinct unnest(p_ids) as id) i cross join lateral (
      select c.ctid as at, c.command_id, c.session_uid, c.session_id, c.agent_id, c.type, c.correlation_id, c.attempt,
             c.ordering_key, c.charged + 1 >= c.max_attempts as dead
      from command.commands c
      where c.tenant_id = p_tenant and c.command_id = i.id and c.part = p_part
        and c.state in ('queued', 'retrying', 'scheduled') offset 0) c cross join lateral (
      select from command.ready d where d.tenant_id = p_tenant and d.command_id = c.command_id offset 0) d
  ), charged as (
    update command.commands c
      set attempt = c.attempt + 1, charged = c.charged + 1, error = p_error,
          state = case when l.dead then 'failed' else c.state end,
          next_attempt_at = case when not l.dead then c.next_attempt_at end,
          finished_at = case when l.dead then v_now end,
          expires_at = case when l.dead then v_now + c.retention_s * interval '1 second' end
      from lost l where c.ctid = l.at
  ), logged as (
    insert into command.attempts (tenant_id, command_id, attempt, outcome, charged, error, started_at, ended_at)
      select p_tenant, l.command_id, l.attempt + 1, case when l.dead then 'failed' else 'retrying' end, true, p_error,
             v_now, v_now from lost l
  ), unready as (
    delete from command.ready d
      where d.tenant_id = p_tenant and d.command_id = any (array(select l.command_id from lost l where l.dead))
  ), again as (
    update command.ready d
      set published_seq = null, published_to = null, dispatch_no = d.dispatch_no + 1, dispatch_after = v_now
      where d.tenant_id = p_tenant and d.command_id = any (array(select l.command_id from lost l where not l.dead))
  ), buried as (
    insert into command.dead_letters (tenant_id, command_id, agent_id, session_id, type, reason, dead_at)
      select p_tenant, l.command_id, l.agent_id, l.session_id, l.type, 'DISPATCH_LOST', v_now from lost l where l.dead
  ), told as (
    select l.command_id, 1 as sub, row(l.session_uid, case when l.dead then 'command.failed' else 'command.retrying' end,
             case when l.dead then 4 else 2 end, l.command_id, l.correlation_id, p_actor, '',
             jsonb_build_object('attempt', l.attempt + 1, 'error', p_error::jsonb)::text)::session.new_event as event
    from lost l
    union all
    select l.command_id, 2, row(l.session_uid, 'command.dead_lettered', 3, l.command_id, l.correlation_id, p_actor, '',
             '{"reason":"DISPATCH_LOST"}')::session.new_event from lost l where l.dead
  )
  select (select array_agg(t.event order by t.command_id, t.sub) from told t),
         (select array_agg(row(l.command_id, 'ok', case when l.dead then 'failed' else 'retrying' end)::command.finish_row)
          from lost l),
         (select array_agg(distinct row(l.session_uid, l.ordering_key)::command.ordering) from lost l
          where l.dead and l.ordering_key is not null)
    into v_events, v_rows, v_keys;
  perform command.unblock(p_tenant, v_keys);
  v_done := session.append_events(p_tenant, p_part, v_events);
  return query
    select r.id, r.state, v_done.first_position, v_done.last_position, case when r.n = 1 then v_done.hint end
    from unnest(v_rows) with ordinality as r(id, code, state, n);
end
$$;
