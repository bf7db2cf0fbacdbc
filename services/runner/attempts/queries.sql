-- name: work
select c.* from unnest(%s::uuid[]) as i(command_id) cross join lateral (
  select c.command_id, c.session_uid, c.type, c.params, c.correlation_id, c.max_attempts,
         (c.options).timeout_ms, (c.options).backoff_ms, (c.options).max_backoff_ms, $option(c), c.error
  from command.commands c where c.tenant_id = %s and c.command_id = i.command_id offset 0) c;

-- name: claim
select command_id, code, lease_token, attempt, charged, released, first_position, last_position, notification
from command.claim(%s, %s::smallint, %s, %s);

-- name: report
select command_id, code, first_position, last_position, notification from command.report(%s, %s::smallint, %s::json);
