-- name: submit
select ord, code, command_id, correlation_id, agent_id, session_id, enqueued_at, runner_id, state,
       first_position, last_position, hint
from command.submit(%s, %s::smallint, %s::json, %s);

-- name: stored
select command_id from command.commands where tenant_id = %s and command_id = any (%s);

-- name: part_of_session
select part from session.targets(%s, '{}', array[%s]);

-- name: get
select c.command_id, c.session_id, c.agent_id, c.type, c.params, c.correlation_id, c.requested_by, c.requeued_from,
       c.max_attempts, c.timeout_ms, c.backoff_ms, c.max_backoff_ms, c.priority, c.not_before, c.retry_tool_errors,
       c.ordering_key, c.retention_s, c.state, c.attempt, c.charged, c.progress, coalesce(c.result, r.result) as result, c.error,
       c.cancel_requested_at, c.enqueued_at, c.started_at, c.finished_at, c.next_attempt_at
from command.commands c left join command.results r using (tenant_id, command_id)
where c.tenant_id = %s and c.command_id = %s;

-- name: part
select part from command.commands where tenant_id = %s and command_id = %s;

-- name: cancel
select code, state, runner_id, first_position, last_position, hint
from command.cancel(%s, %s::smallint, %s, %s, %s, %s, %s);

-- name: dead_letter
select command_id, reason, dead_at, requeued_as from command.dead_letters where tenant_id = %s and command_id = %s;

-- name: attempts
select attempt, runner_id, outcome, charged, error, started_at, ended_at
from command.attempts where tenant_id = %s and command_id = %s order by attempt;

-- name: purge
delete from command.dead_letters where tenant_id = %s and command_id = %s;

-- name: take_key
with taken as (
  insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at)
  values (%(tenant)s, %(method)s, %(key)s, %(hash)s, %(command)s, clock_timestamp() + interval '24 hours')
  on conflict (tenant_id, method, key) do update
    set hash = excluded.hash, command_id = excluded.command_id, expires_at = excluded.expires_at
    where k.expires_at < clock_timestamp()
  returning 1
)
select case when exists (select from taken) then 'taken'
            when exists (select from command.idempotency k where k.tenant_id = %(tenant)s and k.method = %(method)s
                         and k.key = %(key)s and k.hash <> %(hash)s) then 'reused'
            else 'replay' end;

-- name: drop_key
delete from command.idempotency where tenant_id = %(tenant)s and method = %(method)s and key = %(key)s;
