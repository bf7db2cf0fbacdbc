-- Cancel and stop are rows first; runners learn of them at the claim, at each heartbeat and at the finish.

create type command.stop_step as (events session.new_event[], open_commands integer, runners uuid[]);

create function command.open_connection(p_tenant text, p_part smallint, p_session_uid uuid, p_session_id text,
                                        p_agent_id text, p_kind text, p_server text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into command.connections (tenant_id, session_uid, part, session_id, agent_id, kind, server, state)
  values (p_tenant, p_session_uid, p_part, p_session_id, p_agent_id, p_kind, p_server, 'wanted')
$$;

create function command.has_open(p_tenant text, p_session_uid uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from command.commands c where c.tenant_id = p_tenant and c.session_uid = p_session_uid
                 and c.finished_at is null)
$$;

-- One step of the end of a session's commands, inside the caller's transaction, with the partition locked: cancels up
-- to `p_limit` that wait, asks those that run to stop by `p_deadline`, and cancels these too when forced. Returns the
-- events for the caller's one append. When nothing is open any more, the connection is given up.
create function command.stop_session(p_tenant text, p_part smallint, p_session_uid uuid, p_limit integer,
                                     p_force boolean, p_deadline timestamptz, p_actor text)
returns command.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_asked session.new_event[];
  v_step  command.stop_step;
begin
  with asked as (
    update command.commands c set cancel_requested_at = v_now, cancel_deadline = p_deadline,
                                  cancel_reason = 'session stopped'
      where c.tenant_id = p_tenant and c.session_uid = p_session_uid and c.finished_at is null
        and c.state = 'running' and c.cancel_requested_at is null
      returning c.command_id, c.correlation_id, c.attempt
  )
  select array_agg(row(p_session_uid, 'command.cancel_requested', 1, a.command_id, a.correlation_id, p_actor, '',
                       jsonb_build_object('attempt', a.attempt, 'mode', 'graceful', 'reason', 'session stopped',
                                          'deadline', to_char(p_deadline at time zone 'UTC',
                                                              'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
                      )::session.new_event)
    into v_asked from asked a;
  with chosen as materialized (
    select c.ctid as at, c.command_id, c.state as was, c.runner_id, c.attempt, c.started_at, c.correlation_id
    from command.commands c
    where c.tenant_id = p_tenant and c.session_uid = p_session_uid and c.finished_at is null
      and (c.state in ('scheduled', 'queued', 'retrying', 'waiting') or (p_force and c.state = 'running'))
    order by c.enqueued_at, c.command_id limit p_limit
  ), ended as (
    update command.commands c
      set state = 'cancelled', finished_at = v_now, expires_at = v_now + c.retention_s * interval '1 second',
          next_attempt_at = null, lease_token = null, runner_id = null,
          cancel_requested_at = coalesce(c.cancel_requested_at, v_now),
          cancel_reason = coalesce(c.cancel_reason, 'session stopped')
      where c.ctid = any (array(select k.at from chosen k))
  ), unready as (
    delete from command.ready d
      where d.tenant_id = p_tenant and d.command_id = any (array(select k.command_id from chosen k))
  ), logged as (
    insert into command.attempts (tenant_id, command_id, attempt, runner_id, outcome, charged, started_at, ended_at)
      select p_tenant, k.command_id, k.attempt, k.runner_id, 'cancelled', false, k.started_at, v_now
      from chosen k where k.was = 'running'
  )
  select array_agg(row(p_session_uid, 'command.cancelled', 4, k.command_id, k.correlation_id, p_actor, '',
                       jsonb_build_object('attempt', k.attempt, 'reason', 'session stopped',
                                          'forced', k.was = 'running')::text)::session.new_event)
    into v_step.events from chosen k;
  v_step.events := coalesce(v_asked, '{}') || coalesce(v_step.events, '{}');
  select count(*), array_agg(distinct c.runner_id) filter (where c.runner_id is not null)
    into v_step.open_commands, v_step.runners
    from command.commands c where c.tenant_id = p_tenant and c.session_uid = p_session_uid
      and c.finished_at is null;
  if v_step.open_commands = 0 then
    delete from command.connections n
      where n.tenant_id = p_tenant and n.session_uid = p_session_uid and n.runner_id is null;
    update command.connections n set state = 'closing'
      where n.tenant_id = p_tenant and n.session_uid = p_session_uid;
  end if;
  select coalesce(array_agg(distinct r), '{}') into v_step.runners from (
    select unnest(v_step.runners) as r
    union select n.runner_id from command.connections n
      where n.tenant_id = p_tenant and n.session_uid = p_session_uid and n.runner_id is not null) as all_of_them;
  return v_step;
end
$$;

create type command.cancel_row as (id uuid, code text, state text, runner_id uuid);

-- Cancels commands of one partition. Item: {id, mode: graceful | immediate | kill, grace_ms, reason, actor, address}.
-- What waits is cancelled at once. What runs is asked to stop, and is cancelled by the reconciler when its grace is over;
-- immediately, or to be killed, it is cancelled here and now: its lease token is gone, so whatever its runner still
-- writes is fenced, and the runner stops the execution when it learns of it. Answers by code: 'cancelled', 'requested',
-- 'finished' or 'gone'; `runner_id` is the runner to be told.
create function command.cancel(p_tenant text, p_part smallint, p_items json)
returns table (command_id uuid, code text, state text, runner_id uuid, first_position bigint, last_position bigint,
               hint text)
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
  v_log := session.lock_log(p_tenant, p_part);
  v_now := clock_timestamp();
  with item as materialized (
    -- Of two cancels of one command in a batch, the later is answered like the first.
    select distinct on (i.id) i.* from rows from (json_to_recordset(p_items) as (
      id uuid, mode text, grace_ms integer, reason text, actor text, address text)) with ordinality
      as i(id, mode, grace_ms, reason, actor, address, ord)
    order by i.id, i.ord
  ), found as materialized (
    select i.*, c.*, v_now + i.grace_ms * interval '1 millisecond' as deadline,
           case when c.at is null then 'gone'
                when c.state in ('succeeded', 'failed', 'cancelled') then 'finished'
                when c.state = 'running' and i.mode = 'graceful' and i.grace_ms > 0 then 'requested'
                else 'cancelled' end as code
    from item i left join lateral (
      select c.ctid as at, c.state, c.session_uid, c.correlation_id, c.attempt, c.runner_id, c.started_at,
             c.ordering_key, c.cancel_requested_at is not null as was_asked
      from command.commands c
      where c.tenant_id = p_tenant and c.command_id = i.id and c.part = p_part offset 0) c on true
  ), asked as (
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
  ), unready as (
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
  ), told as (
    select f.ord, 1 as sub, row(f.session_uid, 'command.cancel_requested', 1, f.id, f.correlation_id, f.actor, f.address,
             jsonb_strip_nulls(jsonb_build_object('attempt', f.attempt, 'mode', f.mode, 'reason', f.reason, 'deadline',
               case when f.code = 'requested' then to_char(f.deadline at time zone 'UTC',
                                                           'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') end
             ))::text)::session.new_event as event
    from found f where f.code in ('requested', 'cancelled') and f.state = 'running' and not f.was_asked
    union all
    select f.ord, 2, row(f.session_uid, 'command.cancelled', 4, f.id, f.correlation_id, f.actor, f.address,
             jsonb_strip_nulls(jsonb_build_object('attempt', f.attempt, 'reason', f.reason, 'mode',
               case when f.state = 'running' then f.mode end))::text)::session.new_event
    from found f where f.code = 'cancelled'
  )
  select (select array_agg(t.event order by t.ord, t.sub) from told t),
         array_agg(row(f.id, f.code, case when f.code = 'cancelled' then 'cancelled' else f.state end,
                       case when f.code in ('requested', 'cancelled') then f.runner_id end)::command.cancel_row),
         array_agg(distinct row(f.session_uid, f.ordering_key)::command.ordering)
           filter (where f.code = 'cancelled' and f.ordering_key is not null)
    into v_events, v_rows, v_keys from found f;
  perform command.unblock(p_tenant, v_keys);
  v_done := session.append_locked(v_log, v_events);
  return query
    select r.id, r.code, r.state, r.runner_id, v_done.first_position, v_done.last_position,
           case when r.n = 1 then v_done.hint end
    from unnest(v_rows) with ordinality as r(id, code, state, runner_id, n);
end
$$;

-- Cancels what is submitted under a key, whenever that is: returns the command when there is one by now, to be cancelled
-- by its id, and null when the cancel was recorded for the one to come. Submit takes the same row first of all, so one
-- of the two sees the other, whichever comes first.
create function command.cancel_key(p_tenant text, p_key text, p_cancelled jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_id uuid;
begin
  insert into command.idempotency as k (tenant_id, method, key, hash, cancelled, expires_at)
    values (p_tenant, 'submit', p_key, '', p_cancelled, clock_timestamp() + interval '24 hours')
    on conflict (tenant_id, method, key) do update
      set hash = excluded.hash, command_id = null, expires_at = excluded.expires_at,
          cancelled = case when k.expires_at < clock_timestamp() or k.cancelled is null then excluded.cancelled
                           else k.cancelled end
      where k.expires_at < clock_timestamp() or k.command_id is null;
  if not found then
    select k.command_id into v_id from command.idempotency k
      where k.tenant_id = p_tenant and k.method = 'submit' and k.key = p_key;
  end if;
  return v_id;
end
$$;

-- The dispatch of queued commands was delivered as often as the broker allows, and nobody claimed them. Each is
-- charged one attempt (rule 7): it is dispatched again, or dead when that was its last.
create function command.dispatch_lost(p_tenant text, p_part smallint, p_ids uuid[], p_error text, p_actor text)
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

-- Says that a runner has connected sessions' agents: appends `agent.connected` for each that it still owns.
-- Item: {uid, event}. Answers the uids that were connected.
create function command.connected(p_tenant text, p_part smallint, p_runner uuid, p_items json)
returns table (session_uid uuid, first_position bigint, last_position bigint, hint text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_events session.new_event[];
  v_uids   uuid[];
  v_done   session.appended;
begin
  perform session.lock_log(p_tenant, p_part);
  with item as materialized (
    select p_tenant as tenant_id, i.* from json_to_recordset(p_items) as i(uid uuid, event text)
  ), held as (
    update command.connections n set state = 'connected', attempts = 0
      from item i where n.tenant_id = i.tenant_id and n.session_uid = i.uid and n.part = p_part
        and n.runner_id = p_runner and n.state = 'connecting'
      returning n.session_uid, i.event
  )
  select array_agg(row(h.session_uid, 'agent.connected', 1, null, '', 'runner:' || p_runner, '',
                       h.event)::session.new_event),
         array_agg(h.session_uid)
    into v_events, v_uids from held h;
  v_done := session.append_events(p_tenant, p_part, v_events);
  update command.ready d set dispatch_after = d.available_at
    where d.session_uid = any (v_uids) and d.published_seq is null
      and d.dispatch_after > d.available_at;
  return query select u, v_done.first_position, v_done.last_position, case when n = 1 then v_done.hint end
    from unnest(v_uids) with ordinality as x(u, n);
end
$$;
