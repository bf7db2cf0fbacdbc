-- name: register
insert into command.runners (runner_id, name, slots, lease_until)
values (%s, %s, %s, clock_timestamp() + %s * interval '1 second');

-- name: heartbeat
update command.runners set lease_until = clock_timestamp() + %s * interval '1 second'
where runner_id = %s and dead_at is null;

-- name: leave
update command.runners set dead_at = clock_timestamp() where runner_id = %s and dead_at is null;

-- name: asked_to_cancel
select command_id from command.commands
where runner_id = %s and state = 'running' and cancel_requested_at is not null;

-- name: asked_to_close
select tenant_id, session_uid from command.connections where runner_id = %s and state = 'closing';

-- name: asked_to_kill
select tenant_id, session_uid from command.connections where runner_id = %s and kill and state = 'connected';

-- name: taken
select i.id from json_to_recordset(%s::json) as i(tenant_id text, id uuid, token uuid)
where not coalesce((
  select c.state = 'running' and c.lease_token = i.token from command.commands c
  where c.tenant_id = i.tenant_id and c.command_id = i.id), false);

-- name: owned
select tenant_id, session_uid from command.connections where runner_id = %s and state in ('connecting', 'connected');

-- name: held
select tenant_id, part, command_id, lease_token from command.commands
where runner_id = %s and state = 'running' and started_at < clock_timestamp() - interval '5 seconds';

-- name: wanted
update command.connections n set state = 'connecting', runner_id = %s, attempts = n.attempts + 1, kill = false
where (n.tenant_id, n.session_uid) in (
  select w.tenant_id, w.session_uid from command.connections w
  where w.state = 'wanted' and w.connect_after <= clock_timestamp()
    and exists (select from command.runners r where r.runner_id = %s and r.dead_at is null)
  order by w.connect_after limit %s for update skip locked)
returning n.tenant_id, n.session_uid, n.part, n.session_id, n.agent_id, n.kind, n.server, n.attempts;

-- name: connected
select session_uid, first_position, last_position, hint
from command.connected(%s, %s::smallint, %s, %s::json);

-- name: connect_failed
update command.connections
set state = 'wanted', runner_id = null, connect_after = clock_timestamp() + %s * interval '1 second'
where tenant_id = %s and session_uid = %s and runner_id = %s and state in ('connecting', 'connected');

-- name: fail_session
select (s).code, (s).runners, (s).first_position, (s).last_position, (s).hint
from (select session.fail(%s, %s::smallint, %s, %s, %s::jsonb) as s offset 0) x;

-- name: closed
delete from command.connections where tenant_id = %s and session_uid = %s and runner_id = %s and state = 'closing';

-- name: work
select c.* from unnest(%s::uuid[]) as i(command_id) cross join lateral (
  select c.command_id, c.session_uid, c.type, c.params, c.correlation_id, c.timeout_ms, c.max_attempts, c.backoff_ms,
         c.max_backoff_ms, c.retry_tool_errors, c.error
  from command.commands c where c.tenant_id = %s and c.command_id = i.command_id offset 0) c;

-- name: claim
select command_id, code, lease_token, attempt, charged, released, first_position, last_position, hint
from command.claim(%s, %s::smallint, %s, %s);

-- name: report
select command_id, code, first_position, last_position, hint from command.report(%s, %s::smallint, %s::json);
