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
