-- name: make_tables
select session.make_buckets(4);

-- name: append
select ord, code, first_seq, last_seq, detail, first_position, last_position, notification
from session.append_items(%s, %s::smallint, %s::jsonb, %s::text[], %s::bytea[]);

-- name: head
select h.session_uid, h.partition, h.agent_id, h.state, h.last_seq, h.first_bucket, l.incarnation
from session.sessions s cross join lateral (
  select h.* from session.heads h
  where h.tenant_id = s.tenant_id and h.session_uid = s.session_uid offset 0) h cross join lateral (
  select l.incarnation from session.log l where l.tenant_id = s.tenant_id and l.partition = h.partition offset 0) l
where s.tenant_id = %s and s.session_id = %s;

-- name: of_session
select position, seq, session_uid, event_id, type, level, session_id, agent_id, command_id, correlation_id, actor,
       address, micros, payload
from (
  select e.position, e.seq, e.session_uid::text, e.event_id::text, e.type, e.level, e.session_id, e.agent_id,
         coalesce(e.command_id::text, '') as command_id, e.correlation_id, e.actor, e.address,
         (extract(epoch from e.created_at) * 1000000)::bigint as micros, e.payload,
         sum(octet_length(e.payload)) over (order by e.seq) - octet_length(e.payload) as bytes_before
  from session.events e
  where e.tenant_id = %s and e.session_uid = %s and e.seq > %s and e.bucket >= %s
  order by e.seq limit %s) page
where bytes_before < %s order by seq;

-- name: of_partition
select position, seq, session_uid, event_id, type, level, session_id, agent_id, command_id, correlation_id, actor,
       address, micros, payload
from (
  select e.position, e.seq, e.session_uid::text, e.event_id::text, e.type, e.level, e.session_id, e.agent_id,
         coalesce(e.command_id::text, '') as command_id, e.correlation_id, e.actor, e.address,
         (extract(epoch from e.created_at) * 1000000)::bigint as micros, e.payload,
         sum(octet_length(e.payload)) over (order by e.position) - octet_length(e.payload) as bytes_before
  from session.events e
  where e.tenant_id = %(tenant)s and e.partition = %(partition)s::smallint and e.position > %(after)s
    and e.position <= %(upto)s
    and e.bucket >= coalesce((select max(g.bucket) from session.segments g
                              where g.tenant_id = %(tenant)s and g.partition = %(partition)s::smallint
                                and g.first_position <= %(after)s + 1), 0)
  order by e.position limit %(limit)s) page
where bytes_before < %(size)s order by position;

-- name: positions
select l.tenant_id, l.partition, l.position from session.log l
join unnest(%s::text[], %s::smallint[]) as w(tenant_id, partition) using (tenant_id, partition);

-- name: log
-- When every week of the partition was dropped, the first retained position is the next one.
select l.position, l.incarnation,
       coalesce((select min(g.first_position) from session.segments g
                 where g.tenant_id = l.tenant_id and g.partition = l.partition), l.position + 1) as first_position
from session.log l where l.tenant_id = %s and l.partition = %s::smallint;
