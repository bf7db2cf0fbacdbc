-- Sessions: keys, start, stop and restart. Each function is one transaction of the session service, or a part of one.

-- Takes an idempotency key: 'taken' by this call, 'replay' of a finished one, 'running' elsewhere, or 'reused' for
-- another request. A key whose holder died is taken over once its lease has lapsed. Keys come before every other lock.
create function session.take_key(p_tenant text, p_method text, p_key text, p_hash bytea, p_lease interval)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_row session.idempotency;
begin
  insert into session.idempotency as k (tenant_id, method, key, hash, state, expires_at)
    values (p_tenant, p_method, p_key, p_hash, 'running', clock_timestamp() + p_lease)
    on conflict (tenant_id, method, key) do update
      set hash = excluded.hash, state = 'running', response = null, expires_at = excluded.expires_at
      where k.expires_at < clock_timestamp();
  if found then
    return 'taken';
  end if;
  select * into v_row from session.idempotency k
    where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key;
  if v_row.hash is distinct from p_hash then
    return 'reused';
  end if;
  return case v_row.state when 'done' then 'replay' else 'running' end;
end
$$;

create function session.finish_key(p_tenant text, p_method text, p_key text, p_response jsonb)
returns void language sql set search_path = pg_catalog, pg_temp as $$
  update session.idempotency k
  set state = 'done', response = p_response, expires_at = clock_timestamp() + interval '24 hours'
  where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key
$$;

-- The part of a session that changes, as it is now: kept with an answer so that a replay says the same.
create function session.snapshot(p_tenant text, p_session_uid uuid) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('state', s.state, 'version', s.version, 'updatedAt', s.updated_at, 'endedAt', s.ended_at,
                            'result', s.result, 'error', s.error, 'lastSeq', h.last_seq)
  from session.sessions s cross join lateral (
    select h.last_seq from session.heads h
    where h.tenant_id = s.tenant_id and h.session_uid = s.session_uid offset 0) h
  where s.tenant_id = p_tenant and s.session_uid = p_session_uid
$$;

-- Writes a new active session and the wish for its connection; returns the events to append, or null when its id is
-- taken. The partition is locked.
create function session.open(
  p_tenant text, p_part smallint, p_agent session.agents, p_item jsonb, p_restart_count integer, p_previous text
) returns session.new_event[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now    timestamptz := clock_timestamp();
  v_uid    uuid := (p_item ->> 'session_uid')::uuid;
  v_id     text := p_item ->> 'session_id';
  v_events session.new_event[];
  v_note   jsonb;
begin
  insert into session.sessions (
    tenant_id, session_uid, session_id, agent_id, part, exclusive, state, session_type, mode, title, task, task_id,
    workspace, user_id, channel_id, resource_id, labels, context, metadata, restart_count, restarted_from, created_by,
    created_at, updated_at, started_at)
  values (
    p_tenant, v_uid, v_id, p_agent.agent_id, p_part, not p_agent.concurrent, 'active', p_item ->> 'session_type',
    p_item ->> 'mode', p_item ->> 'title', p_item ->> 'task', p_item ->> 'task_id', p_item ->> 'workspace',
    p_item ->> 'user_id', p_item ->> 'channel_id', p_item ->> 'resource_id', p_item -> 'labels', p_item ->> 'context',
    p_item ->> 'metadata', p_restart_count, coalesce(p_previous, ''), p_item ->> 'actor', v_now, v_now, v_now)
  on conflict (tenant_id, session_id) do nothing;
  if not found then
    return null;
  end if;
  insert into session.heads (tenant_id, session_uid, part, session_id, agent_id, state, first_bucket)
    values (p_tenant, v_uid, p_part, v_id, p_agent.agent_id, 'active',
            (select greatest(l.bucket, session.bucket_of(v_now)) from session.log l
             where l.tenant_id = p_tenant and l.part = p_part));
  perform command.open_connection(p_tenant, p_part, v_uid, v_id, p_agent.agent_id, p_agent.kind, p_agent.server);
  v_note := jsonb_build_object('restartCount', p_restart_count, 'sessionType', p_item ->> 'session_type',
                               'mode', p_item ->> 'mode', 'taskId', p_item ->> 'task_id');
  v_events := array[row(v_uid, 'session.started', 4, null, p_item ->> 'task_id', p_item ->> 'actor',
                        p_item ->> 'address', v_note::text)::session.new_event];
  if p_previous is not null then
    v_note := jsonb_build_object('restartCount', p_restart_count, 'previousSessionId', p_previous,
                                 'reason', p_item ->> 'reason');
    v_events := v_events || row(v_uid, 'session.restarted', 4, null, p_item ->> 'task_id', p_item ->> 'actor',
                                p_item ->> 'address', v_note::text)::session.new_event;
  end if;
  return v_events;
end
$$;

-- Starts sessions, a batch of one partition in one transaction; each item is accepted or refused by its code.
-- Item: {session_uid, session_id, agent_id, fail_on_conflict, key, hash (hex), actor, address, and the fields of the spec}.
create function session.start(p_tenant text, p_part smallint, p_items jsonb)
returns table (ord integer, code text, session_uid uuid, snapshot jsonb, detail text,
               first_position bigint, last_position bigint, hint text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count  integer := jsonb_array_length(p_items);
  v_codes  text[] := array_fill(null::text, array[jsonb_array_length(p_items)]);
  v_uids   uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_notes  text[] := array_fill(null::text, array[jsonb_array_length(p_items)]);
  v_events session.new_event[] := '{}';
  v_opened session.new_event[];
  v_done   session.appended;
  v_item   jsonb;
  v_agent  session.agents;
  v_live   record;
  v_index  integer;
begin
  for v_item, v_index in
    select e.value, e.ordinality::integer from jsonb_array_elements(p_items) with ordinality as e
    where e.value ->> 'key' is not null order by e.value ->> 'key'
  loop
    v_codes[v_index] := session.take_key(p_tenant, 'start', v_item ->> 'key', decode(v_item ->> 'hash', 'hex'),
                                         interval '30 seconds');
  end loop;
  perform session.lock_log(p_tenant, p_part);
  for v_index in 1 .. v_count loop
    continue when v_codes[v_index] in ('reused', 'running', 'replay');
    v_item := p_items -> (v_index - 1);
    select * into v_agent from session.agents a
      where a.tenant_id = p_tenant and a.agent_id = v_item ->> 'agent_id';
    if not found then
      v_codes[v_index] := 'agent_not_found';
      continue;
    end if;
    if not v_agent.concurrent then
      select s.session_uid, s.session_id, s.state into v_live from session.sessions s
        where s.tenant_id = p_tenant and s.agent_id = v_agent.agent_id
          and s.state in ('created', 'active', 'paused', 'stopping')
        order by s.created_at limit 1;
      if found then
        v_uids[v_index] := v_live.session_uid;
        v_notes[v_index] := v_live.session_id;
        v_codes[v_index] := case when v_live.state = 'stopping' then 'stopping'
                                 when (v_item ->> 'fail_on_conflict')::boolean then 'live'
                                 else 'existing' end;
        continue;
      end if;
    end if;
    v_opened := session.open(p_tenant, p_part, v_agent, v_item, 0, null);
    if v_opened is null then
      v_codes[v_index] := 'id_taken';
      continue;
    end if;
    v_events := v_events || v_opened;
    v_uids[v_index] := (v_item ->> 'session_uid')::uuid;
    v_codes[v_index] := 'created';
  end loop;
  v_done := session.append_events(p_tenant, p_part, v_events);
  for v_index in 1 .. v_count loop
    v_item := p_items -> (v_index - 1);
    ord := v_index - 1;
    code := v_codes[v_index];
    session_uid := v_uids[v_index];
    detail := v_notes[v_index];
    snapshot := null;
    if code in ('created', 'existing') then
      snapshot := session.snapshot(p_tenant, session_uid);
      if v_item ->> 'key' is not null then
        perform session.finish_key(p_tenant, 'start', v_item ->> 'key',
          jsonb_build_object('code', code, 'uid', session_uid, 'snapshot', snapshot));
      end if;
    elsif code = 'replay' then
      select k.response ->> 'code', (k.response ->> 'uid')::uuid, k.response -> 'snapshot'
        into code, session_uid, snapshot from session.idempotency k
        where k.tenant_id = p_tenant and k.method = 'start' and k.key = v_item ->> 'key';
    elsif v_item ->> 'key' is not null and code not in ('reused', 'running') then
      delete from session.idempotency k
        where k.tenant_id = p_tenant and k.method = 'start' and k.key = v_item ->> 'key';
    end if;
    first_position := v_done.first_position;
    last_position := v_done.last_position;
    hint := case when v_index = 1 then v_done.hint end;
    return next;
  end loop;
end
$$;

-- What a step of a stop says. `code`: 'stopped', 'stopping' (commands are still open), 'none', or a refusal.
create type session.stop_step as (
  code           text,
  session_uid    uuid,
  snapshot        jsonb,
  next_uid       uuid,
  next_snapshot   jsonb,
  open_commands  integer,
  runners        uuid[],
  first_position bigint,
  last_position  bigint,
  hint           text,
  detail         text
);

-- Carries a stopping session one transaction further: cancels up to 500 of its open commands, and when none are left
-- (or by force, once they had their grace) ends it, appends the closing event and starts the successor that a restart
-- asked for. Whoever takes the last step finishes the caller's idempotency key, so a stop survives its service.
create function session.stop_further(p_tenant text, p_part smallint, p_session_uid uuid, p_force boolean,
                                     p_more session.new_event[] default '{}')
returns session.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_step    session.stop_step;
  v_row     session.sessions;
  v_agent   session.agents;
  v_cancel  command.stop_step;
  v_events  session.new_event[] := p_more;
  v_opened  session.new_event[];
  v_done    session.appended;
  v_now     timestamptz := clock_timestamp();
  v_ended   boolean := false;
begin
  perform session.lock_log(p_tenant, p_part);
  v_step.session_uid := p_session_uid;
  select * into v_row from session.sessions s where s.tenant_id = p_tenant and s.session_uid = p_session_uid;
  if not found or v_row.state <> 'stopping' then
    v_step.code := case when not found then 'none' else 'stopped' end;
    v_step.snapshot := session.snapshot(p_tenant, p_session_uid);
    return v_step;
  end if;
  v_cancel := command.stop_session(p_tenant, p_part, p_session_uid, 500, p_force,
                                   (v_row.closing ->> 'deadline')::timestamptz, v_row.closing ->> 'actor');
  v_events := v_events || v_cancel.events;
  v_step.open_commands := v_cancel.open_commands;
  v_step.runners := v_cancel.runners;
  if v_cancel.open_commands = 0 then
    v_ended := true;
    update session.sessions s
      set state = v_row.closing ->> 'state', error = v_row.closing -> 'error', version = s.version + 1,
          updated_at = v_now, ended_at = v_now
      where s.tenant_id = p_tenant and s.session_uid = p_session_uid;
    update session.heads h set state = v_row.closing ->> 'state'
      where h.tenant_id = p_tenant and h.session_uid = p_session_uid;
    v_events := v_events || row(
      p_session_uid, 'session.' || (v_row.closing ->> 'state'), 4, null, v_row.task_id, v_row.closing ->> 'actor',
      v_row.closing ->> 'address',
      jsonb_strip_nulls(jsonb_build_object('reason', v_row.closing ->> 'reason', 'error', v_row.closing -> 'error')
      )::text)::session.new_event;
    if v_row.closing -> 'successor' is not null and v_row.closing ->> 'successor' is not null then
      select * into v_agent from session.agents a
        where a.tenant_id = p_tenant and a.agent_id = v_row.agent_id;
      if found then
        v_opened := session.open(p_tenant, p_part, v_agent, v_row.closing -> 'successor', v_row.restart_count + 1,
                                 v_row.session_id);
        if v_opened is not null then
          v_events := v_events || v_opened;
          v_step.next_uid := (v_row.closing -> 'successor' ->> 'session_uid')::uuid;
        end if;
      end if;
    end if;
  end if;
  v_done := session.append_events(p_tenant, p_part, v_events);
  v_step.first_position := v_done.first_position;
  v_step.last_position := v_done.last_position;
  v_step.hint := v_done.hint;
  v_step.code := case when v_ended then 'stopped' else 'stopping' end;
  v_step.snapshot := session.snapshot(p_tenant, p_session_uid);
  if v_step.next_uid is not null then
    v_step.next_snapshot := session.snapshot(p_tenant, v_step.next_uid);
  end if;
  if v_ended then
    perform session.finish_key(p_tenant, k.method, k.key,
        jsonb_build_object('uid', p_session_uid, 'snapshot', v_step.snapshot,
                           'next_uid', v_step.next_uid, 'next_snapshot', v_step.next_snapshot))
      from jsonb_to_recordset(coalesce(v_row.closing -> 'joined', '[]') || v_row.closing) as k(method text, key text)
      where k.key is not null;
  end if;
  return v_step;
end
$$;

-- Begins to end a session, or to restart an agent's. Request: {agent_id | session_id, state, reason, error, actor,
-- address, grace_ms, method, key, hash (hex), successor}. A restart with nothing live starts the successor at once.
create function session.stop(p_tenant text, p_part smallint, p_request jsonb)
returns session.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_step    session.stop_step;
  v_key     text := p_request ->> 'key';
  v_method  text := p_request ->> 'method';
  v_next    jsonb := p_request -> 'successor';
  v_restart boolean := coalesce(jsonb_typeof(p_request -> 'successor'), 'null') <> 'null';
  v_agent   session.agents;
  v_live    session.sessions;
  v_count   integer;
  v_taken   text;
  v_opened  session.new_event[];
  v_done    session.appended;
begin
  if v_key is not null then
    v_taken := session.take_key(p_tenant, v_method, v_key, decode(p_request ->> 'hash', 'hex'), interval '30 seconds');
    if v_taken = 'replay' then
      select 'replayed', (k.response ->> 'uid')::uuid, k.response -> 'snapshot', (k.response ->> 'next_uid')::uuid,
             k.response -> 'next_snapshot'
        into v_step.code, v_step.session_uid, v_step.snapshot, v_step.next_uid, v_step.next_snapshot
        from session.idempotency k where k.tenant_id = p_tenant and k.method = v_method and k.key = v_key;
      return v_step;
    elsif v_taken <> 'taken' then
      v_step.code := v_taken;
      return v_step;
    end if;
  end if;
  perform session.lock_log(p_tenant, p_part);
  if p_request ->> 'agent_id' is not null then
    select * into v_agent from session.agents a
      where a.tenant_id = p_tenant and a.agent_id = p_request ->> 'agent_id';
    if not found then
      v_step.code := 'agent_not_found';
    else
      select count(*) into v_count from session.sessions s
        where s.tenant_id = p_tenant and s.agent_id = v_agent.agent_id
          and s.state in ('created', 'active', 'paused', 'stopping');
      if v_count > 1 then
        v_step.code := 'ambiguous';
      end if;
      select * into v_live from session.sessions s
        where s.tenant_id = p_tenant and s.agent_id = v_agent.agent_id
          and s.state in ('created', 'active', 'paused', 'stopping') limit 1;
    end if;
  else
    select * into v_live from session.sessions s
      where s.tenant_id = p_tenant and s.session_id = p_request ->> 'session_id';
    if not found then
      v_step.code := 'session_not_found';
    elsif v_live.state not in ('created', 'active', 'paused', 'stopping') then
      v_live := null;
    end if;
  end if;
  if v_step.code is null and v_live.session_uid is not null and v_live.state = 'stopping' then
    v_step.code := case when v_restart then 'already_stopping' else 'stopping' end;
    v_step.session_uid := v_live.session_uid;
    v_step.detail := v_live.session_id;
    -- The stop that is under way answers for its own key and for those of the stops that join it.
    if v_key is not null and not v_restart then
      update session.sessions s
        set closing = jsonb_set(s.closing, '{joined}', coalesce(s.closing -> 'joined', '[]')
              || jsonb_build_object('method', v_method, 'key', v_key))
        where s.tenant_id = p_tenant and s.session_uid = v_live.session_uid;
    elsif v_key is not null and (v_live.closing ->> 'method', v_live.closing ->> 'key')
        is distinct from (v_method, v_key) then
      delete from session.idempotency k where k.tenant_id = p_tenant and k.method = v_method and k.key = v_key;
    end if;
    return v_step;
  end if;
  if v_step.code is null and v_restart and exists (
      select from session.sessions s where s.tenant_id = p_tenant and s.session_id = v_next ->> 'session_id') then
    v_step.code := 'id_taken';
    v_step.detail := v_next ->> 'session_id';
  end if;
  if v_step.code is not null then
    if v_key is not null then
      delete from session.idempotency k where k.tenant_id = p_tenant and k.method = v_method and k.key = v_key;
    end if;
    return v_step;
  end if;
  if v_live.session_uid is null then
    v_step.code := 'none';
    if v_restart then
      v_opened := session.open(p_tenant, p_part, v_agent, v_next, 0, null);
      v_done := session.append_events(p_tenant, p_part, v_opened);
      v_step.first_position := v_done.first_position;
      v_step.last_position := v_done.last_position;
      v_step.hint := v_done.hint;
      v_step.code := 'started';
      v_step.next_uid := (v_next ->> 'session_uid')::uuid;
      v_step.next_snapshot := session.snapshot(p_tenant, v_step.next_uid);
    end if;
    if v_key is not null then
      perform session.finish_key(p_tenant, v_method, v_key, jsonb_build_object(
        'uid', null, 'next_uid', v_step.next_uid, 'next_snapshot', v_step.next_snapshot));
    end if;
    return v_step;
  end if;
  return session.begin_closing(p_tenant, p_part, v_live, p_request);
end
$$;

-- Moves a live session to stopping and takes the first step of the way out. The partition is locked. A session with no
-- open command ends in this one transaction; only one that must wait shows `session.stopping`.
create function session.begin_closing(p_tenant text, p_part smallint, p_live session.sessions, p_request jsonb)
returns session.stop_step language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_closing jsonb;
  v_events  session.new_event[] := '{}';
  v_next    jsonb := p_request -> 'successor';
begin
  if coalesce(jsonb_typeof(v_next), 'null') <> 'null' and (v_next ->> 'inherit')::boolean then
    v_next := jsonb_build_object(
      'session_type', p_live.session_type, 'mode', p_live.mode, 'title', p_live.title, 'task', p_live.task,
      'task_id', p_live.task_id, 'workspace', p_live.workspace, 'user_id', p_live.user_id,
      'channel_id', p_live.channel_id, 'resource_id', p_live.resource_id, 'labels', p_live.labels,
      'context', p_live.context, 'metadata', p_live.metadata)
      || jsonb_build_object('session_uid', v_next -> 'session_uid', 'session_id', v_next -> 'session_id',
                            'actor', v_next -> 'actor', 'address', v_next -> 'address', 'reason', v_next -> 'reason');
  end if;
  v_closing := jsonb_build_object(
    'state', p_request ->> 'state', 'reason', p_request ->> 'reason', 'error', p_request -> 'error',
    'actor', p_request ->> 'actor', 'address', p_request ->> 'address', 'method', p_request ->> 'method',
    'key', p_request ->> 'key', 'successor', v_next,
    'deadline', v_now + (p_request ->> 'grace_ms')::integer * interval '1 millisecond');
  update session.sessions s
    set state = 'stopping', version = s.version + 1, updated_at = v_now, closing = v_closing
    where s.tenant_id = p_tenant and s.session_uid = p_live.session_uid;
  update session.heads h set state = 'stopping'
    where h.tenant_id = p_tenant and h.session_uid = p_live.session_uid;
  if command.has_open(p_tenant, p_live.session_uid) then
    v_events := array[row(p_live.session_uid, 'session.stopping', 1, null, p_live.task_id, p_request ->> 'actor',
                          p_request ->> 'address', jsonb_build_object('from', p_live.state)::text)::session.new_event];
  end if;
  return session.stop_further(p_tenant, p_part, p_live.session_uid, false, v_events);
end
$$;

-- Fails a live session for a reason of the runner's: its agent cannot be connected. The service carries it further.
create function session.fail(p_tenant text, p_part smallint, p_session_uid uuid, p_actor text, p_error jsonb)
returns session.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_live session.sessions;
  v_step session.stop_step;
begin
  perform session.lock_log(p_tenant, p_part);
  select * into v_live from session.sessions s
    where s.tenant_id = p_tenant and s.session_uid = p_session_uid and s.state in ('created', 'active', 'paused');
  if not found then
    v_step.code := 'none';
    return v_step;
  end if;
  return session.begin_closing(p_tenant, p_part, v_live, jsonb_build_object(
    'state', 'failed', 'reason', p_error ->> 'message', 'error', p_error, 'actor', p_actor, 'address', '',
    'grace_ms', 0));
end
$$;

-- Appends callers' events, a batch of one partition in one transaction. Item: {session_id, key, hash (hex), events:
-- [{type, level, command_id, correlation_id, actor, address, payload}]}; `texts` are not repeated in the answer.
create function session.append_items(p_tenant text, p_part smallint, p_items jsonb)
returns table (ord integer, code text, first_seq bigint, last_seq bigint, detail text,
               first_position bigint, last_position bigint, hint text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count  integer := jsonb_array_length(p_items);
  v_codes  text[] := array_fill(null::text, array[jsonb_array_length(p_items)]);
  v_notes  text[] := array_fill(null::text, array[jsonb_array_length(p_items)]);
  v_begin  integer[] := array_fill(null::integer, array[jsonb_array_length(p_items)]);
  v_end    integer[] := array_fill(null::integer, array[jsonb_array_length(p_items)]);
  v_events session.new_event[] := '{}';
  v_added  session.new_event[];
  v_done   session.appended;
  v_item   jsonb;
  v_index  integer;
  v_live   record;
begin
  for v_item, v_index in
    select e.value, e.ordinality::integer from jsonb_array_elements(p_items) with ordinality as e
    where e.value ->> 'key' is not null order by e.value ->> 'key'
  loop
    v_codes[v_index] := session.take_key(p_tenant, 'append', v_item ->> 'key', decode(v_item ->> 'hash', 'hex'),
                                         interval '30 seconds');
  end loop;
  perform session.lock_log(p_tenant, p_part);
  for v_index in 1 .. v_count loop
    continue when v_codes[v_index] in ('reused', 'running', 'replay');
    v_item := p_items -> (v_index - 1);
    select s.session_uid, s.state, s.part into v_live from session.sessions s
      where s.tenant_id = p_tenant and s.session_id = v_item ->> 'session_id';
    if not found then
      v_codes[v_index] := 'session_not_found';
    elsif v_live.part <> p_part then
      v_codes[v_index] := 'moved';
    elsif v_live.state not in ('created', 'active', 'paused') then
      v_codes[v_index] := 'not_active';
      v_notes[v_index] := v_live.state;
    else
      select array_agg(row(v_live.session_uid, e.type, e.level, e.command_id, e.correlation_id, e.actor, e.address,
                           e.payload)::session.new_event order by e.ordinality) into v_added
        from rows from (jsonb_to_recordset(v_item -> 'events') as (type text, level smallint, command_id uuid,
          correlation_id text, actor text, address text, payload text)) with ordinality as e;
      v_begin[v_index] := cardinality(v_events) + 1;
      v_events := v_events || v_added;
      v_end[v_index] := cardinality(v_events);
      v_codes[v_index] := 'ok';
    end if;
  end loop;
  v_done := session.append_events(p_tenant, p_part, v_events);
  for v_index in 1 .. v_count loop
    v_item := p_items -> (v_index - 1);
    ord := v_index - 1;
    code := v_codes[v_index];
    detail := v_notes[v_index];
    first_seq := v_done.seqs[v_begin[v_index]];
    last_seq := v_done.seqs[v_end[v_index]];
    if code = 'ok' and v_item ->> 'key' is not null then
      perform session.finish_key(p_tenant, 'append', v_item ->> 'key',
        jsonb_build_object('first_seq', first_seq, 'last_seq', last_seq));
    elsif code = 'replay' then
      select 'ok', (k.response ->> 'first_seq')::bigint, (k.response ->> 'last_seq')::bigint
        into code, first_seq, last_seq from session.idempotency k
        where k.tenant_id = p_tenant and k.method = 'append' and k.key = v_item ->> 'key';
    elsif v_item ->> 'key' is not null and code not in ('ok', 'reused', 'running') then
      delete from session.idempotency k
        where k.tenant_id = p_tenant and k.method = 'append' and k.key = v_item ->> 'key';
    end if;
    first_position := v_done.first_position;
    last_position := v_done.last_position;
    hint := case when v_index = 1 then v_done.hint end;
    return next;
  end loop;
end
$$;
