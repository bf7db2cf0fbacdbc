-- Charges one attempt to queued commands whose dispatch was delivered as often as the broker allows and that no runner
-- claimed (rule 7). Each becomes due again, or fails for good when this attempt was its last.
create or replace function command.dispatch_lost(p_tenant text, p_partition smallint, p_ids uuid[], p_error text,
                                                 p_actor text)
returns table (command_id uuid, state command.outcome, first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now    timestamptz;
  v_events session.new_event[];
  v_rows   command.finish_row[];
  v_keys   command.ordering[];
  v_done   session.appended;
begin
  perform session.lock_log(p_tenant, p_partition);
  v_now := clock_timestamp();
  with lost as materialized (
    select * from command.resolve_losses(p_tenant, p_partition, p_ids)
  ), charged as (
    update command.commands c
      set attempt = l.attempt, charged = c.charged + 1, error = p_error,
          state = case when l.is_dead then 'failed' else c.state end,
          next_attempt_at = case when not l.is_dead then c.next_attempt_at end,
          finished_at = case when l.is_dead then v_now end,
          expires_at = case when l.is_dead then v_now + c.retention_s * interval '1 second' end
      from lost l where c.ctid = l.at
  ), logged as (
    insert into command.attempts (tenant_id, command_id, attempt, outcome, charged, error, started_at, ended_at)
      select p_tenant, l.command_id, l.attempt, case when l.is_dead then 'failed' else 'retrying' end, true, p_error,
             v_now, v_now from lost l
  ), dequeued as (
    delete from command.ready d
      where d.tenant_id = p_tenant and d.command_id = any (array(select l.command_id from lost l where l.is_dead))
  ), enqueued as (
    update command.ready d
      set published_seq = null, published_to = null, dispatch_no = d.dispatch_no + 1, dispatch_after = v_now
      where d.tenant_id = p_tenant and d.command_id = any (array(select l.command_id from lost l where not l.is_dead))
  ), dead_lettered as (
    insert into command.dead_letters (tenant_id, command_id, agent_id, session_id, type, correlation_id, reason,
                                      dead_at)
      select p_tenant, l.command_id, l.agent_id, l.session_id, l.type, l.correlation_id, 'DISPATCH_LOST', v_now
      from lost l where l.is_dead
  ), events as (
    select l.command_id, 1 as sub, row(l.session_uid,
             case when l.is_dead then 'command.failed' else 'command.retrying' end,
             case when l.is_dead then 4 else 2 end, l.command_id, l.correlation_id, p_actor, '',
             jsonb_build_object('attempt', l.attempt, 'error', p_error::jsonb)::text)::session.new_event as event
    from lost l
    union all
    select l.command_id, 2, row(l.session_uid, 'command.dead_lettered', 3, l.command_id, l.correlation_id, p_actor, '',
             '{"reason":"DISPATCH_LOST"}')::session.new_event from lost l where l.is_dead
  )
  select (select array_agg(e.event order by e.command_id, e.sub) from events e),
         array_agg(row(l.command_id, 'ok', case when l.is_dead then 'failed' else 'retrying' end)::command.finish_row),
         array_agg(distinct row(l.session_uid, l.ordering_key)::command.ordering)
           filter (where l.is_dead and l.ordering_key is not null)
    into v_events, v_rows, v_keys from lost l;
  perform command.unblock(p_tenant, v_keys);
  v_done := session.append_events(p_tenant, p_partition, v_events);
  return query
    select r.id, r.state, v_done.first_position, v_done.last_position, case when r.n = 1 then v_done.notification end
    from unnest(v_rows) with ordinality as r(id, code, state, n);
end
$$;
