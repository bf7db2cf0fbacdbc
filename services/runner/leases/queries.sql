-- name: register
insert into command.runners (runner_id, name, slots, lease_until)
values (%s, %s, %s, clock_timestamp() + %s * interval '1 second');

-- name: heartbeat
update command.runners set lease_until = clock_timestamp() + %s * interval '1 second'
where runner_id = %s and dead_at is null;

-- name: leave
update command.runners set dead_at = clock_timestamp() where runner_id = %s and dead_at is null;

-- name: to_cancel
select command_id from command.commands
where runner_id = %s and state = 'running' and cancel_requested_at is not null;

-- name: to_close
select tenant_id, session_uid from command.connections where runner_id = %s and state = 'closing';

-- name: to_kill
select tenant_id, session_uid from command.connections where runner_id = %s and kill and state = 'connected';

-- name: lost
select i.id from json_to_recordset(%s::json) as i(tenant_id text, id uuid, token uuid)
where not coalesce((
  select c.state = 'running' and c.lease_token = i.token from command.commands c
  where c.tenant_id = i.tenant_id and c.command_id = i.id), false);

-- name: owned
select tenant_id, session_uid from command.connections where runner_id = %s and command.is_held(state);

-- name: running
select tenant_id, partition, command_id, lease_token from command.commands
where runner_id = %s and state = 'running' and started_at < clock_timestamp() - interval '5 seconds';
