-- As before, but for the answer to a key whose command is forgotten, which was made up, and for a requeue that names a
-- session, which has to be one of the dead command's agent.

-- Submit: a batch of one partition in one transaction, each item accepted or refused by its code.
-- Item: {id, agent_id | session_id, type, params, correlation_id, actor, address, key, hash (hex), max_attempts,
-- timeout_ms, backoff_ms, max_backoff_ms, priority, not_before, retry_tool_errors, ordering_key, retention_s, requeued_from, event}
-- `p_agents` and `p_sessions` are the ids that the items name, `p_keyed` says whether any has a key.
create or replace function command.submit(p_tenant text, p_part smallint, p_items json, p_method text,
                                          p_agents text[], p_sessions text[], p_keyed boolean)
returns table (ord integer, code text, command_id uuid, correlation_id text, agent_id text, session_id text,
               enqueued_at timestamptz, runner_id uuid, state text,
               first_position bigint, last_position bigint, hint text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now    timestamptz;
  v_events session.new_event[];
  v_rows   command.submit_row[];
  v_done   session.appended;
  v_log    session.log;
begin
  if p_keyed then
    -- One key may come twice in a batch, with different bodies: it is the first one's.
    insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at)
      select distinct on (i.key) p_tenant, p_method, i.key, decode(i.hash, 'hex'), i.id,
             clock_timestamp() + interval '24 hours'
      from rows from (json_to_recordset(p_items) as (key text, hash text, id uuid)) with ordinality
        as i(key, hash, id, ord)
      where i.key is not null order by i.key, i.ord
      on conflict (tenant_id, method, key) do update
        set hash = excluded.hash, command_id = excluded.command_id, expires_at = excluded.expires_at,
            cancelled = case when k.expires_at >= clock_timestamp() then k.cancelled end
        where k.expires_at < clock_timestamp() or k.command_id is null;
  end if;
  v_log := session.lock_log(p_tenant, p_part);
  v_now := clock_timestamp();
  with item as materialized (
    select i.*, i.requeued_from is not null
             and row_number() over (partition by i.requeued_from order by i.ord) > 1 as earlier
    from rows from (json_to_recordset(p_items) as (
      id uuid, agent_id text, session_id text, type text, params text, correlation_id text, actor text, address text,
      key text, hash text, max_attempts smallint, timeout_ms integer, backoff_ms integer, max_backoff_ms integer,
      priority smallint, not_before timestamptz, retry_tool_errors boolean, ordering_key text, retention_s integer,
      requeued_from uuid,
      event text)) with ordinality as i(
      id, agent_id, session_id, type, params, correlation_id, actor, address, key, hash, max_attempts, timeout_ms,
      backoff_ms, max_backoff_ms, priority, not_before, retry_tool_errors, ordering_key, retention_s, requeued_from, event,
      ord)
  ), target as materialized (
    select * from session.targets(p_tenant, p_agents, p_sessions)
  ), of_agent as materialized (
    select t.agent_id, count(*) as n, (array_agg(t.session_uid))[1] as session_uid,
           (array_agg(t.session_id))[1] as session_id, (array_agg(t.part))[1] as part, (array_agg(t.state))[1] as state
    from target t where t.state in ('created', 'active', 'paused', 'stopping') group by t.agent_id
  ), resolved as materialized (
    select i.*, coalesce(a.session_uid, s.session_uid) as uid, coalesce(a.session_id, s.session_id) as sid,
           coalesce(a.agent_id, s.agent_id) as aid, coalesce(a.state, s.state) as session_state,
           case
             when k.command_id <> i.id and k.hash = decode(i.hash, 'hex') then 'replay'
             when k.command_id <> i.id then 'reused'
             when i.requeued_from is not null and l.command_id is null then 'letter_gone'
             when l.requeued_as is not null or i.earlier then 'requeued'
             when l.agent_id <> s.agent_id then 'not_its_session'
             when a.n > 1 then 'ambiguous'
             when i.agent_id is not null and a.agent_id is null then 'no_session'
             when i.session_id is not null and s.session_id is null then 'session_not_found'
             when coalesce(a.part, s.part) <> p_part then 'moved'
             when coalesce(a.state, s.state) <> 'active' then 'not_active'
             else 'ok' end as code,
           k.command_id as prior_id, n.runner_id as owner, k.cancelled
    from item i
    left join of_agent a on i.agent_id is not null and a.agent_id = i.agent_id
    left join target s on i.session_id is not null and s.session_id = i.session_id
    left join lateral (
      select k.command_id, k.hash, k.cancelled from command.idempotency k
      where i.key is not null and k.tenant_id = p_tenant and k.method = p_method and k.key = i.key offset 0) k on true
    left join lateral (
      select l.command_id, l.requeued_as, l.agent_id from command.dead_letters l
      where i.requeued_from is not null and l.tenant_id = p_tenant and l.command_id = i.requeued_from
      offset 0) l on true
    left join lateral (
      select n.runner_id from command.connections n
      where n.tenant_id = p_tenant and n.session_uid = coalesce(a.session_uid, s.session_uid)
        and n.state = 'connected' offset 0) n on true
  ), stored as (
    insert into command.commands (
      tenant_id, command_id, part, session_uid, session_id, agent_id, type, params, correlation_id, requested_by,
      requeued_from, max_attempts, timeout_ms, backoff_ms, max_backoff_ms, priority, not_before, retry_tool_errors,
      ordering_key, retention_s, state, enqueued_at, next_attempt_at, finished_at, expires_at, cancel_requested_at,
      cancel_reason)
    select p_tenant, r.id, p_part, r.uid, r.sid, r.aid, r.type, r.params, r.correlation_id, r.actor, r.requeued_from,
           r.max_attempts, r.timeout_ms, r.backoff_ms, r.max_backoff_ms, r.priority, r.not_before,
           r.retry_tool_errors, r.ordering_key, r.retention_s,
           case when r.cancelled is not null then 'cancelled' when r.not_before > v_now then 'scheduled' else 'queued' end,
           -- The order of their submits is kept within a batch too: ordering keys go by it.
           v_now + (r.ord - 1) * interval '1 microsecond',
           case when r.cancelled is null and r.not_before > v_now then r.not_before end,
           case when r.cancelled is not null then v_now end,
           case when r.cancelled is not null then v_now + r.retention_s * interval '1 second' end,
           case when r.cancelled is not null then v_now end, r.cancelled ->> 'reason'
    from resolved r where r.code = 'ok' order by r.ord
  ), told as (
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
  ), readied as (
    insert into command.ready (tenant_id, command_id, part, session_uid, priority, available_at, dispatch_after,
                               blocked)
    select p_tenant, r.id, p_part, r.uid, r.priority, greatest(r.not_before, v_now),
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
  select (select array_agg(t.event order by t.ord, t.sub) from told t),
         array_agg(row(r.ord - 1, r.code, r.id, r.prior_id, r.correlation_id, r.aid, r.sid, r.agent_id, r.key,
                       case when coalesce(r.not_before <= v_now, true) and b.blocked is false then r.owner end,
                       r.session_state, r.requeued_from)::command.submit_row order by r.ord)
    into v_events, v_rows
    from resolved r
    left join readied b on b.command_id = r.id;
  v_done := session.append_locked(v_log, v_events);
  if p_method = 'requeue' then
    update command.dead_letters l set requeued_as = r.id
      from (select p_tenant as tenant_id, r.id, r.requeued_from from unnest(v_rows) as r where r.code = 'ok' offset 0) r
      where l.tenant_id = r.tenant_id and l.command_id = r.requeued_from;
  end if;
  -- Refusals are not stored: the same key may be tried again. A cancel that waits under it goes on waiting.
  if p_keyed then
    update command.idempotency k set command_id = null, hash = ''
      where k.tenant_id = p_tenant and k.method = p_method and k.cancelled is not null and k.key = any (array(
        select r.key from unnest(v_rows) as r where r.code not in ('ok', 'replay', 'reused')));
    delete from command.idempotency k
      where k.tenant_id = p_tenant and k.method = p_method and k.cancelled is null and k.key = any (array(
        select r.key from unnest(v_rows) as r where r.code not in ('ok', 'replay', 'reused')));
  end if;
  return query
    select r.ord::integer,
           case when r.code = 'no_session' and not exists (
                  select from session.known_agents(p_tenant, p_agents) a where a = r.asked_agent)
                then 'agent_not_found' else r.code end,
           k.id, coalesce(c.correlation_id, case when r.correlation_id <> r.id::text then r.correlation_id else k.id::text end),
           coalesce(c.agent_id, case when k.forgotten then coalesce(r.asked_agent, r.aid) else r.aid end),
           coalesce(c.session_id, case when k.forgotten and r.asked_agent is not null then '' else r.sid end),
           coalesce(c.enqueued_at, case when k.forgotten then uuid_extract_timestamp(k.id)
                                        else v_now + r.ord * interval '1 microsecond' end),
           r.runner_id, r.session_state, v_done.first_position, v_done.last_position,
           case when r.ord = 0 then v_done.hint end
    from unnest(v_rows) as r
    left join lateral (
      select c.command_id, c.correlation_id, c.agent_id, c.session_id, c.enqueued_at from command.commands c
      where r.code = 'replay' and c.tenant_id = p_tenant and c.command_id = r.prior_id offset 0) c on true
    -- A key outlives its command where that is kept for less than a day: the answer is what its id says of it.
    cross join lateral (select case when r.code = 'replay' then r.prior_id else r.id end as id,
                               r.code = 'replay' and c.command_id is null as forgotten) k;
end
$$;
