-- What runners do: claim, report, finish. Every write to a running command is fenced by its lease token (rule 2).

create type command.claim_row as (id uuid, code text, lease_token uuid, attempt integer, charged integer,
                                  released integer);
create type command.finish_row as (id uuid, code text, state text);
create type command.ordering as (session_uid uuid, ordering_key text);

-- Claims commands of one partition for a runner. Refused ones say why and go back to be dispatched again.
create function command.claim(p_tenant text, p_part smallint, p_runner uuid, p_ids uuid[])
returns table (command_id uuid, code text, lease_token uuid, attempt integer, charged integer, released integer,
               first_position bigint, last_position bigint, hint text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_alive  boolean;
  v_now    timestamptz;
  v_events session.new_event[];
  v_rows   command.claim_row[];
  v_done   session.appended;
  v_log    session.log;
begin
  v_log := session.lock_log(p_tenant, p_part);
  v_now := clock_timestamp();
  v_alive := exists (select from command.runners r
                     where r.runner_id = p_runner and r.dead_at is null and r.lease_until > v_now);
  with found as materialized (
    select i.id, i.ord, c.at, c.session_uid, d.blocked or d.available_at > v_now as not_due,
           d.command_id is not null as ready
    from unnest(p_ids) with ordinality as i(id, ord)
    left join lateral (
      select c.ctid as at, c.session_uid, c.command_id from command.commands c
      where c.tenant_id = p_tenant and c.command_id = i.id and c.part = p_part
        and c.state in ('scheduled', 'queued', 'retrying') offset 0) c on true
    left join lateral (
      select d.command_id, d.blocked, d.available_at from command.ready d
      where d.tenant_id = p_tenant and d.command_id = i.id and c.command_id is not null offset 0) d on true
  ), owned as materialized (
    select u.session_uid, s.state, n.runner_id = p_runner and n.state = 'connected' as is_owner
    from (select distinct f.session_uid from found f where f.session_uid is not null) u
    left join session.states(p_tenant, array(select distinct f.session_uid from found f)) s
      on s.session_uid = u.session_uid
    left join lateral (
      select n.runner_id, n.state from command.connections n
      where n.tenant_id = p_tenant and n.session_uid = u.session_uid offset 0) n on true
  ), candidate as materialized (
    select f.id, f.ord, f.at,
           case when not f.ready then 'gone'
                when not v_alive then 'runner_dead'
                when f.not_due then 'not_due'
                when o.state is distinct from 'active' then 'session_not_active'
                when o.is_owner is not true then 'not_owner'
                else 'ok' end as code
    from found f left join owned o on o.session_uid = f.session_uid
  ), taken as (
    update command.commands c
      set state = 'running', attempt = c.attempt + 1, lease_token = gen_random_uuid(), runner_id = p_runner,
          started_at = v_now, next_attempt_at = null, progress = null
      where c.ctid = any (array(select k.at from candidate k where k.code = 'ok'))
      returning c.command_id, c.session_uid, c.lease_token, c.attempt, c.charged, c.released, c.correlation_id
  ), unready as (
    delete from command.ready d
      where d.tenant_id = p_tenant and d.command_id = any (array(select t.command_id from taken t))
  ), back as (
    update command.ready d
      set published_seq = null, published_to = null, dispatch_no = d.dispatch_no + 1,
          dispatch_after = greatest(d.available_at, v_now + interval '100 milliseconds')
      where d.tenant_id = p_tenant
        and d.command_id = any (array(select k.id from candidate k where k.code not in ('ok', 'gone')))
  )
  select array_agg(row(t.session_uid, 'command.started', 1, t.command_id, t.correlation_id, 'runner:' || p_runner, '',
                       '{"attempt":' || t.attempt || ',"runnerId":"' || p_runner || '"}')::session.new_event
                   order by k.ord) filter (where t.command_id is not null),
         array_agg(row(k.id, k.code, t.lease_token, t.attempt, t.charged, t.released)::command.claim_row order by k.ord)
    into v_events, v_rows
    from candidate k left join taken t on t.command_id = k.id;
  v_done := session.append_locked(v_log, v_events);
  return query
    select r.id, r.code, r.lease_token, r.attempt, r.charged, r.released, v_done.first_position, v_done.last_position,
           case when r.n = 1 then v_done.hint end
    from unnest(v_rows) with ordinality as r(id, code, lease_token, attempt, charged, released, n);
end
$$;

-- Reports progress and output of running commands, fenced. Item: {id, token, progress (JSON text, optional), type,
-- payload, actor}. Those whose token no longer holds are answered 'fenced'.
create function command.report(p_tenant text, p_part smallint, p_items json)
returns table (command_id uuid, code text, first_position bigint, last_position bigint, hint text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_events session.new_event[];
  v_fenced uuid[];
  v_done   session.appended;
  v_log    session.log;
begin
  v_log := session.lock_log(p_tenant, p_part);
  with item as materialized (
    select i.* from rows from (json_to_recordset(p_items) as (
      id uuid, token uuid, progress text, type text, payload text, actor text)) with ordinality
      as i(id, token, progress, type, payload, actor, ord)
  ), held as materialized (
    select i.*, c.at, c.session_uid, c.correlation_id
    from item i cross join lateral (
      select c.ctid as at, c.session_uid, c.correlation_id from command.commands c
      where c.tenant_id = p_tenant and c.command_id = i.id and c.lease_token = i.token and c.state = 'running'
        and c.part = p_part offset 0) c
  ), shown as (
    update command.commands c set progress = l.progress
      from (select distinct on (h.id) h.id, h.at, h.token, h.progress from held h where h.progress is not null
            order by h.id, h.ord desc) l
      where c.ctid = l.at and c.lease_token = l.token and c.state = 'running'
  )
  select array_agg(row(h.session_uid, h.type, 1, h.id, h.correlation_id, h.actor, '', h.payload)::session.new_event
                   order by h.ord) filter (where h.id is not null),
         array_agg(i.id) filter (where h.id is null)
    into v_events, v_fenced
    from item i left join held h on h.ord = i.ord;
  v_done := session.append_locked(v_log, v_events);
  return query
    select f.id, 'fenced', v_done.first_position, v_done.last_position, null::text
    from unnest(v_fenced) as f(id)
    union all select null, 'ok', v_done.first_position, v_done.last_position, v_done.hint;
end
$$;

-- Ends attempts, fenced. Item: {id, token, outcome: succeeded | retrying | released | failed | cancelled, result (JSON
-- text), large (the result is stored apart), error (JSON text), reason, delay_ms, charged, actor, event, note, counted
-- (false for a release that is none of the command's own)}.
-- `unblocked` says that the next of an ordering key may go. `event` is the payload of the outcome's event, `note` that of `command.dead_lettered`. A cancel that was asked for
-- before the end wins over every outcome.
create function command.finish(p_tenant text, p_part smallint, p_items json)
returns table (command_id uuid, code text, state text, unblocked boolean, first_position bigint, last_position bigint,
               hint text)
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
  v_log := session.lock_log(p_tenant, p_part);
  v_now := clock_timestamp();
  with item as materialized (
    select i.* from rows from (json_to_recordset(p_items) as (
      id uuid, token uuid, outcome text, result text, large boolean, error text, reason text, delay_ms integer,
      charged boolean, actor text, event text, note text, counted boolean)) with ordinality
      as i(id, token, outcome, result, large, error, reason, delay_ms, charged, actor, event, note, counted, ord)
  ), held as materialized (
    select i.*, c.at, c.session_uid, c.session_id, c.agent_id, c.type, c.correlation_id, c.attempt, c.started_at,
           c.runner_id, c.ordering_key, c.priority, c.cancel_reason,
           case when c.cancel_requested_at is not null then 'cancelled' else i.outcome end as final
    from item i cross join lateral (
      select c.ctid as at, c.session_uid, c.session_id, c.agent_id, c.type, c.correlation_id, c.attempt, c.started_at,
             c.runner_id, c.ordering_key, c.priority, c.cancel_reason, c.cancel_requested_at from command.commands c
      where c.tenant_id = p_tenant and c.command_id = i.id and c.lease_token = i.token and c.state = 'running'
        and c.part = p_part offset 0) c
  ), ended as (
    update command.commands c
      set state = case h.final when 'released' then 'retrying' else h.final end,
          charged = c.charged + (h.charged and h.final <> 'released')::integer,
          released = c.released + ((h.final = 'released' or not h.charged) and h.counted is not false)::integer,
          lease_token = null, runner_id = null,
          result = case when h.final = 'succeeded' and not h.large then h.result end,
          error = case when h.final = 'succeeded' then null else h.error end,
          next_attempt_at = case when h.final in ('retrying', 'released')
                            then v_now + h.delay_ms * interval '1 millisecond' end,
          finished_at = case when h.final not in ('retrying', 'released') then v_now end,
          expires_at = case when h.final not in ('retrying', 'released')
                       then v_now + c.retention_s * interval '1 second' end
      from held h where c.ctid = h.at and c.lease_token = h.token and c.state = 'running'
  ), apart as (
    insert into command.results (tenant_id, command_id, result)
      select p_tenant, h.id, h.result from held h where h.final = 'succeeded' and h.large
      on conflict do nothing
  ), logged as (
    insert into command.attempts (tenant_id, command_id, attempt, runner_id, outcome, charged, error, started_at,
                                  ended_at)
      select p_tenant, h.id, h.attempt, h.runner_id, h.final, h.charged and h.final <> 'released', h.error,
             h.started_at, v_now from held h
  ), again as (
    insert into command.ready (tenant_id, command_id, part, session_uid, priority, available_at, dispatch_after,
                               dispatch_no)
      select p_tenant, h.id, p_part, h.session_uid, h.priority, v_now + h.delay_ms * interval '1 millisecond',
             v_now + h.delay_ms * interval '1 millisecond', h.attempt * 1000 + 1
      from held h where h.final in ('retrying', 'released')
  ), buried as (
    insert into command.dead_letters (tenant_id, command_id, agent_id, session_id, type, reason, dead_at)
      select p_tenant, h.id, h.agent_id, h.session_id, h.type, h.reason, v_now from held h where h.final = 'failed'
  ), told as (
    select h.ord, 1 as sub, row(h.session_uid,
             case h.final when 'succeeded' then 'command.completed' when 'failed' then 'command.failed'
                          when 'cancelled' then 'command.cancelled' else 'command.retrying' end,
             case h.final when 'retrying' then 2 when 'released' then 2 else 4 end, h.id, h.correlation_id, h.actor,
             '', case when h.final = 'cancelled' then jsonb_strip_nulls(jsonb_build_object(
                   'attempt', h.attempt, 'reason', h.cancel_reason, 'outcome', nullif(h.outcome, 'cancelled')))::text
                 when h.final in ('retrying', 'released') then (h.event::jsonb || jsonb_build_object(
                   'nextAttemptAt', to_char((v_now + h.delay_ms * interval '1 millisecond') at time zone 'UTC',
                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text
                 else h.event end)::session.new_event as event
    from held h
    union all
    select h.ord, 2, row(h.session_uid, 'command.dead_lettered', 3, h.id, h.correlation_id, h.actor, '',
                         h.note)::session.new_event
    from held h where h.final = 'failed'
  )
  select (select array_agg(t.event order by t.ord, t.sub) from told t),
         (select array_agg(row(i.id, case when h.id is null then 'fenced' else 'ok' end, h.final)::command.finish_row
                           order by i.ord) from item i left join held h on h.ord = i.ord),
         (select array_agg(distinct row(h.session_uid, h.ordering_key)::command.ordering) from held h
          where h.ordering_key is not null and h.final not in ('retrying', 'released'))
    into v_events, v_rows, v_keys;
  perform command.unblock(p_tenant, v_keys);
  v_done := session.append_locked(v_log, v_events);
  return query
    select r.id, r.code, r.state, v_keys is not null, v_done.first_position, v_done.last_position,
           case when r.n = 1 then v_done.hint end
    from unnest(v_rows) with ordinality as r(id, code, state, n);
end
$$;

-- Lets the next command of each ordering key go, after the one before it has ended. The partition is locked.
create function command.unblock(p_tenant text, p_keys command.ordering[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  update command.ready d set blocked = false, dispatch_after = d.available_at
  where d.tenant_id = p_tenant and d.blocked and d.command_id = any (array(
    select c.command_id from unnest(p_keys) as k cross join lateral (
      select c.command_id from command.commands c
      where c.tenant_id = p_tenant and c.session_uid = k.session_uid and c.ordering_key = k.ordering_key
        and c.finished_at is null
      order by c.enqueued_at, c.command_id limit 1) c))
$$;
