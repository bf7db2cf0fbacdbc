-- name: due
with recursive waiting as (
  -- The tenants and priorities with waiting rows. Each is found by one step in the index.
  (select d.tenant_id, d.priority from command.ready d
   where d.published_seq is null and not d.blocked order by d.tenant_id, d.priority limit 1)
  union all
  select n.tenant_id, n.priority from waiting w cross join lateral (
    select d.tenant_id, d.priority from command.ready d
    where d.published_seq is null and not d.blocked and (d.tenant_id, d.priority) > (w.tenant_id, w.priority)
    order by d.tenant_id, d.priority limit 1) n
), chosen as materialized (
  select c.* from waiting w cross join lateral (
    select d.tenant_id, d.command_id, n.runner_id
    from command.ready d cross join lateral (
      select n.runner_id from command.connections n
      where n.tenant_id = d.tenant_id and n.session_uid = d.session_uid and n.state = 'connected' offset 0) n
    where d.tenant_id = w.tenant_id and d.priority = w.priority and d.published_seq is null and not d.blocked
      and d.dispatch_after <= clock_timestamp()
    order by d.dispatch_after limit %(each)s for update of d skip locked) c
  limit %(limit)s
)
update command.ready d set dispatch_after = clock_timestamp() + interval '2 seconds'
from chosen c where d.tenant_id = c.tenant_id and d.command_id = c.command_id
returning d.tenant_id, d.partition, d.priority, c.runner_id, d.command_id, d.dispatch_no;

-- name: in_flight
select tenant_id, priority, count(*) from command.ready where published_seq is not null group by tenant_id, priority;

-- name: next_due
with recursive waiting as (
  (select d.tenant_id, d.priority from command.ready d
   where d.published_seq is null and not d.blocked order by d.tenant_id, d.priority limit 1)
  union all
  select n.tenant_id, n.priority from waiting w cross join lateral (
    select d.tenant_id, d.priority from command.ready d
    where d.published_seq is null and not d.blocked and (d.tenant_id, d.priority) > (w.tenant_id, w.priority)
    order by d.tenant_id, d.priority limit 1) n
)
select extract(epoch from min(f.dispatch_after) - clock_timestamp())::float8
from waiting w cross join lateral (
  select d.dispatch_after from command.ready d
  where d.tenant_id = w.tenant_id and d.priority = w.priority and d.published_seq is null and not d.blocked
    and d.dispatch_after > clock_timestamp() and d.dispatch_after < 'infinity'
  order by d.dispatch_after limit 1) f;

-- name: mark
with locked as materialized (
  select d.tenant_id, d.command_id, m.seq, m.epoch, m.runner_id
  from json_to_recordset(%s::json) as m(tenant_id text, command_id uuid, dispatch_no integer, seq bigint, epoch text,
                                        runner_id uuid)
  cross join lateral (
    select d.tenant_id, d.command_id from command.ready d
    where d.tenant_id = m.tenant_id and d.command_id = m.command_id and d.dispatch_no = m.dispatch_no
      and d.published_seq is null
    offset 0 for update skip locked) d
)
update command.ready d set published_seq = l.seq, epoch = l.epoch, published_to = l.runner_id
from locked l where d.tenant_id = l.tenant_id and d.command_id = l.command_id;

-- name: published_to
select distinct published_to, priority from command.ready where published_seq is not null;

-- name: undelivered
with lost as materialized (
  select r.tenant_id, r.command_id from command.ready r
  where r.published_seq is not null and r.published_to = %(runner)s and r.priority = %(priority)s
    and (r.epoch is distinct from %(epoch)s or r.published_seq <= %(upto)s)
  limit 5000 for update skip locked
)
update command.ready d
set published_seq = null, published_to = null, dispatch_no = d.dispatch_no + 1, dispatch_after = clock_timestamp()
from lost l where d.tenant_id = l.tenant_id and d.command_id = l.command_id;

-- name: orphaned
with lost as materialized (
  select r.tenant_id, r.command_id
  from command.ready r left join lateral (
    select n.runner_id, n.state from command.connections n
    where n.tenant_id = r.tenant_id and n.session_uid = r.session_uid offset 0) n on true
  where r.published_seq is not null and (n.runner_id is distinct from r.published_to or n.state <> 'connected')
  limit 5000 for update of r skip locked
)
update command.ready d
set published_seq = null, published_to = null, dispatch_no = d.dispatch_no + 1, dispatch_after = clock_timestamp()
from lost l where d.tenant_id = l.tenant_id and d.command_id = l.command_id;

-- name: mark_runners_dead
update command.runners set dead_at = clock_timestamp()
where dead_at is null and lease_until < clock_timestamp() returning runner_id, name;

-- name: free_connections
update command.connections n
set state = 'wanted', runner_id = null, connect_after = clock_timestamp()
where command.is_held(n.state) and n.runner_id in (
  select r.runner_id from command.runners r where r.dead_at is not null)
returning n.session_uid;

-- name: drop_connections
delete from command.connections n
where n.state = 'closing' and (n.runner_id is null or n.runner_id in (
  select r.runner_id from command.runners r where r.dead_at is not null));

-- name: expired
select c.tenant_id, c.partition, c.command_id, c.lease_token, c.attempt, c.charged, c.released, c.max_attempts,
       (c.options).backoff_ms, (c.options).max_backoff_ms, c.runner_id
from command.commands c
where c.state = 'running' and c.runner_id in (select r.runner_id from command.runners r where r.dead_at is not null)
limit 500;

-- name: overdue_cancels
select c.tenant_id, c.partition, c.command_id, c.lease_token, c.attempt, c.charged, c.released, c.max_attempts,
       (c.options).backoff_ms, (c.options).max_backoff_ms, c.runner_id
from command.commands c
where c.state = 'running' and c.cancel_deadline < clock_timestamp()
  and c.runner_id in (select r.runner_id from command.runners r)
limit 500;

-- name: oldest_snapshot
select command.oldest_snapshot();

-- name: forget_runners
delete from command.runners r
where r.dead_at < clock_timestamp() - interval '1 hour'
  and not exists (select from command.commands c where c.runner_id = r.runner_id and c.state = 'running')
  and not exists (select from command.connections n where n.runner_id = r.runner_id);

-- name: forget_commands
-- Attempts and results are looked up by key and deleted where they are. A plan that was made while the tables were
-- empty would join all of them. A dead letter can change meanwhile and get another ctid, so it is deleted by its key.
with old as materialized (
  select c.ctid as at, c.tenant_id, c.command_id from command.commands c
  where c.expires_at < now()  -- unlike clock_timestamp(), it can be compared with an index
  order by c.expires_at limit 500 for update skip locked
), dead_letters as (
  delete from command.dead_letters d using old o where d.tenant_id = o.tenant_id and d.command_id = o.command_id
), attempts as (
  delete from command.attempts a where a.ctid = any (array(
    select a.at from old o cross join lateral (
      select a.ctid as at from command.attempts a
      where a.tenant_id = o.tenant_id and a.command_id = o.command_id offset 0) a))
), results as (
  delete from command.results r where r.ctid = any (array(
    select r.at from old o cross join lateral (
      select r.ctid as at from command.results r
      where r.tenant_id = o.tenant_id and r.command_id = o.command_id offset 0) r))
)
delete from command.commands c where c.ctid = any (array(select o.at from old o));

-- name: unpublished_dead_letters
select tenant_id, command_id, agent_id, session_id, type, reason from command.dead_letters
where not published order by dead_at limit 200;

-- name: mark_published
update command.dead_letters set published = true
where (tenant_id, command_id) in (select * from unnest(%s::text[], %s::uuid[]));

-- name: partitions
select c.tenant_id, c.partition, array_agg(c.command_id) as command_ids
from unnest(%s::uuid[]) as i(command_id) cross join lateral (
  select c.tenant_id, c.partition, c.command_id from command.commands c
  where c.tenant_id = %s and c.command_id = i.command_id offset 0) c
group by c.tenant_id, c.partition;

-- name: dispatch_lost
select command_id, state, first_position, last_position, notification
from command.dispatch_lost(%s, %s::smallint, %s, %s, %s);
