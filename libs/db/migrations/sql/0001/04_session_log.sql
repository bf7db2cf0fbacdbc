-- The log: buckets, locks, appends, and what keeps events as they were written.
--
-- How rows are found, here and in the files that follow. Plans are made once a connection, often while a table is nearly
-- empty, and the planner then likes to begin a join with all rows of a tenant. So what is looked up by key for each item
-- stands in a lateral subquery fenced by `offset 0`, which leaves it no choice; and what was found so under the
-- partition's lock, without which no row of a partition changes, is updated by its ctid.

create function session.bucket_of(p_time timestamptz) returns integer
language sql immutable parallel safe
return floor(extract(epoch from p_time) / 604800)::integer;

create function session.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are append-only' using errcode = 'restrict_violation';
end
$$;

create trigger events_append_only before update or delete on session.events
  for each row execute function session.refuse_change();

-- Makes the tables of the weeks up to `p_ahead` weeks from now; each refuses TRUNCATE by itself, since row triggers do
-- not see it (rule 12).
create function session.make_buckets(p_ahead integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now integer := session.bucket_of(clock_timestamp());
  v_made integer := 0;
  v_name text;
begin
  perform pg_advisory_xact_lock(hashtext('callboard.make_buckets'));
  for v_bucket in v_now .. v_now + p_ahead loop
    v_name := format('events_standard_%s', v_bucket);
    if to_regclass('session.' || v_name) is null then
      execute format('create table session.%I partition of session.events_standard for values from (%s) to (%s)',
                     v_name, v_bucket, v_bucket + 1);
      execute format('create trigger refuse_truncate before truncate on session.%I '
                     'for each statement execute function session.refuse_change()', v_name);
      v_made := v_made + 1;
    end if;
  end loop;
  return v_made;
end
$$;

create function session.ensure_tenant(p_tenant text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_bucket integer := session.bucket_of(clock_timestamp());
begin
  insert into session.tenants (tenant_id) values (p_tenant) on conflict do nothing;
  insert into session.log (tenant_id, part, bucket)
    select p_tenant, p, v_bucket from generate_series(0, 15) as p on conflict do nothing;
  insert into session.segments (tenant_id, part, bucket, first_position)
    select l.tenant_id, l.part, l.bucket, 1 from session.log l
    where l.tenant_id = p_tenant and l.position = 0 on conflict do nothing;
end
$$;

-- Takes the partition's lock: after the idempotency keys, before anything else (rule 3). Returns the partition.
create function session.lock_log(p_tenant text, p_part smallint) returns session.log
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_log session.log;
begin
  select * into v_log from session.log l where l.tenant_id = p_tenant and l.part = p_part for update;
  if not found then
    raise exception 'tenant % has no log partition %', p_tenant, p_part using errcode = 'CB001';
  end if;
  return v_log;
end
$$;

create type session.new_event as (
  session_uid    uuid,
  type           text,
  level          smallint,
  command_id     uuid,
  correlation_id text,
  actor          text,
  address        text,
  payload        text
);

-- What an append says: `hint` holds the events as lines, for the live tail; null when they are too large to travel.
create type session.appended as (
  first_position bigint,
  last_position  bigint,
  seqs           bigint[],
  hint           text
);

-- An event as one line of JSON: what the hash chain covers and what the live tail reads. `p_micros` is microseconds
-- since the epoch, because the text of a timestamp differs by time zone (rule 12).
create function session.event_line(
  p_position bigint, p_seq bigint, p_session_uid uuid, p_event_id uuid, p_type text, p_level smallint,
  p_session_id text, p_agent_id text, p_command_id uuid, p_correlation_id text, p_actor text, p_address text,
  p_micros bigint, p_payload text
) returns text language sql stable parallel safe
return '[' || p_position || ',' || p_seq || ',"' || p_session_uid || '","' || p_event_id || '","' || p_type || '",'
  || p_level || ',"' || p_session_id || '","' || p_agent_id || '","' || coalesce(p_command_id::text, '') || '",'
  || to_json(p_correlation_id) || ',' || to_json(p_actor) || ',' || to_json(p_address) || ',' || p_micros || ','
  || to_json(p_payload) || ']';

-- Appends events to the partition that `lock_log` has returned in this transaction: numbers them, chains them, and moves
-- the sessions' heads. All of them or none: a session that is not there aborts the transaction, because a number that
-- was given out and not written would be a hole at which every reader waits for ever (rule 1).
create function session.append_locked(p_log session.log, p_events session.new_event[]) returns session.appended
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_asked   integer := coalesce(cardinality(p_events), 0);
  v_now     timestamptz := clock_timestamp();
  v_micros  bigint := (extract(epoch from v_now) * 1000000)::bigint;
  v_bucket  integer := greatest(p_log.bucket, session.bucket_of(v_now));
  v_written integer;
  v_head    bytea;
  v_result  session.appended;
begin
  if v_asked = 0 then
    return v_result;
  end if;
  with asked as materialized (
    select e.*, row_number() over (partition by e.session_uid order by e.ord) as n,
           count(*) over (partition by e.session_uid) as of_session
    from unnest(p_events) with ordinality
      as e(session_uid, type, level, command_id, correlation_id, actor, address, payload, ord)
  ), head as materialized (
    select a.of_session, h.at from asked a cross join lateral (
      select h.ctid as at from session.heads h
      where h.tenant_id = p_log.tenant_id and h.session_uid = a.session_uid and h.part = p_log.part offset 0) h
    where a.n = 1
  ), bumped as (
    update session.heads h set last_seq = h.last_seq + d.of_session
    from head d where h.ctid = d.at
    returning h.session_uid, h.last_seq - d.of_session as base, h.session_id, h.agent_id
  ), lined as materialized (
    select a.*, b.session_id, b.agent_id, b.base + a.n as seq, p_log.position + a.ord as position, i.event_id,
           session.event_line(p_log.position + a.ord, b.base + a.n, a.session_uid, i.event_id, a.type, a.level,
                              b.session_id, b.agent_id, a.command_id, a.correlation_id, a.actor, a.address, v_micros,
                              a.payload) as line
    from asked a join bumped b using (session_uid) cross join lateral (select uuidv7() as event_id offset 0) i
  ), linked as materialized (
    select c.*, sha256(p_log.head || convert_to(c.lines, 'UTF8')) as head, octet_length(c.lines) as bytes
    from (select string_agg(l.line, E'\n' order by l.position) as lines, array_agg(l.seq order by l.position) as seqs
          from lined l) c
  ), written as (
    insert into session.events
      (tenant_id, part, position, bucket, class, session_uid, seq, event_id, type, level, session_id, agent_id,
       command_id, correlation_id, actor, address, payload, created_at, link)
    select p_log.tenant_id, p_log.part, l.position, v_bucket, p_log.class, l.session_uid, l.seq, l.event_id, l.type,
           l.level, l.session_id, l.agent_id, l.command_id, l.correlation_id, l.actor, l.address, l.payload, v_now,
           case when l.ord = v_asked then k.head end
    from lined l cross join linked k
    returning 1
  )
  -- A function that holds the lock returns little: a slow client must not hold it (rule 5).
  select (select count(*) from written), k.head, k.seqs, case when k.bytes <= 65536 then k.lines end
    into v_written, v_head, v_result.seqs, v_result.hint
    from linked k;
  if v_written <> v_asked then
    raise exception 'an event names a session that is not in partition %', p_log.part using errcode = 'CB002';
  end if;
  if v_bucket > p_log.bucket then
    insert into session.segments (tenant_id, part, bucket, first_position)
      values (p_log.tenant_id, p_log.part, v_bucket, p_log.position + 1);
  end if;
  update session.log l set position = l.position + v_asked, bucket = v_bucket, head = v_head
    where l.tenant_id = p_log.tenant_id and l.part = p_log.part;
  v_result.first_position := p_log.position + 1;
  v_result.last_position := p_log.position + v_asked;
  return v_result;
end
$$;

-- Locks a partition and appends to it, in the caller's transaction.
create function session.append_events(p_tenant text, p_part smallint, p_events session.new_event[])
returns session.appended language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  return session.append_locked(session.lock_log(p_tenant, p_part), p_events);
end
$$;

-- The sessions that commands may go to: the live ones of agents, and those of the ids given. This function and the two
-- after it are plain SQL without settings, so that the planner writes them into the statement that calls them.
create function session.targets(p_tenant text, p_agent_ids text[], p_session_ids text[])
returns table (agent_id text, session_id text, session_uid uuid, part smallint, state text)
language sql stable as $$
  select s.agent_id, s.session_id, s.session_uid, s.part, s.state
  from unnest(p_agent_ids) as a(agent_id) cross join lateral (
    select s.agent_id, s.session_id, s.session_uid, s.part, s.state from session.sessions s
    where s.tenant_id = p_tenant and s.agent_id = a.agent_id
      and s.state in ('created', 'active', 'paused', 'stopping')
    limit 2) s  -- the second is enough to know that an agent has several
  union
  select s.agent_id, s.session_id, s.session_uid, s.part, s.state
  from unnest(p_session_ids) as i(session_id) cross join lateral (
    select s.agent_id, s.session_id, s.session_uid, s.part, s.state from session.sessions s
    where s.tenant_id = p_tenant and s.session_id = i.session_id offset 0) s
$$;

-- Which of the agents exist; tells "no such agent" from "no session".
create function session.known_agents(p_tenant text, p_agent_ids text[]) returns setof text
language sql stable as $$
  select a.agent_id from session.agents a where a.tenant_id = p_tenant and a.agent_id = any (p_agent_ids)
$$;

-- The states of sessions, by uid.
create function session.states(p_tenant text, p_session_uids uuid[])
returns table (session_uid uuid, state text)
language sql stable as $$
  select u.session_uid, h.state
  from unnest(p_session_uids) as u(session_uid) cross join lateral (
    select h.state from session.heads h where h.tenant_id = p_tenant and h.session_uid = u.session_uid offset 0) h
$$;

-- The partition of a session's events, null when there is no such session.
create function session.part_of(p_tenant text, p_session_id text) returns smallint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.part from session.sessions s where s.tenant_id = p_tenant and s.session_id = p_session_id
$$;
