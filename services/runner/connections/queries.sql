-- name: wanted
update command.connections n set state = 'connecting', runner_id = %s, attempts = n.attempts + 1, kill = false
where (n.tenant_id, n.session_uid) in (
  select w.tenant_id, w.session_uid from command.connections w
  where w.state = 'wanted' and w.connect_after <= clock_timestamp()
    and exists (select from command.runners r where r.runner_id = %s and r.dead_at is null)
  order by w.connect_after limit %s for update skip locked)
returning n.tenant_id, n.session_uid, n.partition, n.session_id, n.agent_id, n.kind, n.server, n.attempts;

-- name: connected
select session_uid, first_position, last_position, notification
from command.connected(%s, %s::smallint, %s, %s::json);

-- name: connect_failed
update command.connections
set state = 'wanted', runner_id = null, connect_after = clock_timestamp() + %s * interval '1 second'
where tenant_id = %s and session_uid = %s and runner_id = %s and command.is_held(state);

-- name: fail_session
select (s).runners, (s).first_position, (s).last_position, (s).notification
from (select session.fail(%s, %s::smallint, %s, %s, %s::jsonb) as s offset 0) x;

-- name: closed
delete from command.connections where tenant_id = %s and session_uid = %s and runner_id = %s and state = 'closing';
