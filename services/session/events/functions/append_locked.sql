-- Appends events to the partition that `lock_log` returned in this transaction: numbers them, extends the hash chain,
-- and advances the heads of their sessions. A session that does not exist aborts the transaction: a position that was
-- assigned but not written would be a gap, and every reader would wait for it forever (rule 1).
create or replace function session.append_locked(p_log session.log, p_events session.new_event[])
returns session.appended language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_count   integer := coalesce(cardinality(p_events), 0);
  v_now     timestamptz := clock_timestamp();
  v_micros  bigint := (extract(epoch from v_now) * 1000000)::bigint;
  v_bucket  integer := greatest(p_log.bucket, session.bucket_of(v_now));
  v_written integer;
  v_head    bytea;
  v_result  session.appended;
begin
  if v_count = 0 then
    return v_result;
  end if;
  with event as materialized (
    select e.*, row_number() over (partition by e.session_uid order by e.ord) as n,
           count(*) over (partition by e.session_uid) as of_session
    from unnest(p_events) with ordinality
      as e(session_uid, type, level, command_id, correlation_id, actor, address, payload, ord)
  ), head as materialized (
    select e.of_session, h.at from event e cross join lateral (
      select h.ctid as at from session.heads h
      where h.tenant_id = p_log.tenant_id and h.session_uid = e.session_uid and h.partition = p_log.partition
      offset 0) h
    where e.n = 1
  ), advanced as (
    update session.heads h set last_seq = h.last_seq + d.of_session
    from head d where h.ctid = d.at
    returning h.session_uid, h.last_seq - d.of_session as before, h.session_id, h.agent_id
  ), serialized as materialized (
    select e.*, a.session_id, a.agent_id, a.before + e.n as seq, p_log.position + e.ord as position, i.event_id,
           session.event_line(p_log.position + e.ord, a.before + e.n, e.session_uid, i.event_id, e.type, e.level,
                              a.session_id, a.agent_id, e.command_id, e.correlation_id, e.actor, e.address, v_micros,
                              e.payload) as line
    from event e join advanced a using (session_uid) cross join lateral (select uuidv7() as event_id offset 0) i
  ), chained as materialized (
    select c.*, sha256(p_log.head || convert_to(c.lines, 'UTF8')) as head, octet_length(c.lines) as bytes
    from (select string_agg(s.line, E'\n' order by s.position) as lines, array_agg(s.seq order by s.position) as seqs
          from serialized s) c
  ), written as (
    insert into session.events
      (tenant_id, partition, position, bucket, retention_class, session_uid, seq, event_id, type, level, session_id,
       agent_id, command_id, correlation_id, actor, address, payload, created_at, link)
    select p_log.tenant_id, p_log.partition, s.position, v_bucket, p_log.retention_class, s.session_uid, s.seq,
           s.event_id, s.type, s.level, s.session_id, s.agent_id, s.command_id, s.correlation_id, s.actor, s.address,
           s.payload, v_now, case when s.ord = v_count then c.head end
    from serialized s cross join chained c
    returning 1
  )
  -- A function that holds the lock returns little, so that a slow client does not hold it for long (rule 5).
  select (select count(*) from written), c.head, c.seqs, case when c.bytes <= 65536 then c.lines end
    into v_written, v_head, v_result.seqs, v_result.notification
    from chained c;
  if v_written <> v_count then
    raise exception 'an event names a session that is not in partition %', p_log.partition using errcode = 'CB002';
  end if;
  if v_bucket > p_log.bucket then
    insert into session.segments (tenant_id, partition, bucket, first_position)
      values (p_log.tenant_id, p_log.partition, v_bucket, p_log.position + 1);
  end if;
  update session.log l set position = l.position + v_count, bucket = v_bucket, head = v_head
    where l.tenant_id = p_log.tenant_id and l.partition = p_log.partition;
  v_result.first_position := p_log.position + 1;
  v_result.last_position := p_log.position + v_count;
  return v_result;
end
$$;
