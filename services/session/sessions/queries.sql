-- name: start
select ord, code, session_uid, snapshot, detail, first_position, last_position, notification
from session.start(%s, %s::smallint, %s::jsonb, %s::text[], %s::bytea[]);

-- name: stop
select (s).code, (s).session_uid, (s).snapshot, (s).next_uid, (s).next_snapshot, (s).open_commands, (s).runners,
       (s).first_position, (s).last_position, (s).notification, (s).detail
from (select session.stop(%s, %s::smallint, %s::jsonb) as s offset 0) x;

-- name: advance_stop
select (s).code, (s).session_uid, (s).snapshot, (s).next_uid, (s).next_snapshot, (s).open_commands, (s).runners,
       (s).first_position, (s).last_position, (s).notification, (s).detail
from (select session.advance_stop(%s, %s::smallint, %s, %s) as s offset 0) x;

-- name: by_uid
select $session(s), h.last_seq
from unnest(%(uids)s::uuid[]) as u(session_uid) cross join lateral (
  select s.* from session.sessions s
  where s.tenant_id = %(tenant)s and s.session_uid = u.session_uid offset 0) s cross join lateral (
  select h.last_seq from session.heads h
  where h.tenant_id = s.tenant_id and h.session_uid = s.session_uid offset 0) h;

-- name: by_id
select $session(s), h.last_seq
from session.sessions s cross join lateral (
  select h.last_seq from session.heads h
  where h.tenant_id = s.tenant_id and h.session_uid = s.session_uid offset 0) h
where s.tenant_id = %s and s.session_id = %s;

-- name: find
select $session(s), h.last_seq
from session.sessions s cross join lateral (
  select h.last_seq from session.heads h
  where h.tenant_id = s.tenant_id and h.session_uid = s.session_uid offset 0) h
where s.tenant_id = %(tenant)s
  and s.agent_id = %(agent_id)s -- if agent_id
  and s.state = any(%(states)s::text[]) -- if states
  and s.session_type = %(session_type)s -- if session_type
  and s.mode = %(mode)s -- if mode
  and s.user_id = %(user_id)s -- if user_id
  and s.channel_id = %(channel_id)s -- if channel_id
  and s.resource_id = %(resource_id)s -- if resource_id
  and s.task_id = %(task_id)s -- if task_id
  and s.labels @> %(labels)s::jsonb -- if labels
  and s.created_at >= %(created_after)s -- if created_after
  and s.created_at < %(created_before)s -- if created_before
  and (s.created_at, s.session_uid) < (%(at)s::timestamptz, %(uid)s::uuid) -- if at
order by s.created_at desc, s.session_uid desc
limit %(limit)s;

-- name: stopping
select tenant_id, partition, session_uid, (closing ->> 'deadline')::timestamptz < clock_timestamp() as late
from session.sessions where state = 'stopping' and updated_at < clock_timestamp() - %s * interval '1 second'
order by updated_at limit 100;
