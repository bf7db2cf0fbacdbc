-- name: submit
select ord, code, command_id, correlation_id, agent_id, session_id, enqueued_at, runner_id, state,
       first_position, last_position, notification
from command.submit(%s, %s::smallint, %s::json, %s, %s, %s, %s::text[], %s::bytea[], %s::text[]);

-- name: stored
select c.command_id from unnest(%s::uuid[]) as i(command_id) cross join lateral (
  select c.command_id from command.commands c where c.tenant_id = %s and c.command_id = i.command_id offset 0) c;

-- name: partition_of_session
select partition from session.partition_of(%s, %s) as partition where partition is not null;

-- name: get
select $command(c), coalesce(c.result, r.result) as result
from command.commands c left join command.results r using (tenant_id, command_id)
where c.tenant_id = %s and c.command_id = %s;

-- name: cancel
select command_id, code, state, runner_id, first_position, last_position, notification
from command.cancel(%s, %s::smallint, %s::json);

-- name: partitions
select c.command_id, c.partition from unnest(%s::uuid[]) as i(command_id) cross join lateral (
  select c.command_id, c.partition from command.commands c
  where c.tenant_id = %s and c.command_id = i.command_id offset 0) c;

-- name: matching
c.tenant_id = %(tenant)s
  and c.session_id = %(session_id)s -- if session_id
  and c.agent_id = %(agent_id)s -- if agent_id
  and c.state = any(%(states)s::text[]) -- if states
  and c.type = %(type)s -- if type
  and c.correlation_id = %(correlation_id)s -- if correlation_id

-- name: find
select $command(c), c.result
from command.commands c
where $matching
  and (c.enqueued_at, c.command_id) < (%(at)s::timestamptz, %(id)s::uuid) -- if at
order by c.enqueued_at desc, c.command_id desc
limit %(limit)s;

-- name: open_ids
select c.command_id
from command.commands c
where $matching
  and c.finished_at is null
  and c.enqueued_at >= %(enqueued_after)s -- if enqueued_after
  and c.enqueued_at < %(enqueued_before)s -- if enqueued_before
order by c.enqueued_at, c.command_id
limit %(limit)s;
