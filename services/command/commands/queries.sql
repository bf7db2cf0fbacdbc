-- name: submit
select ord, code, command_id, correlation_id, agent_id, session_id, enqueued_at, runner_id, state,
       first_position, last_position, notification
from command.submit(%s, %s::smallint, %s::json, %s, %s, %s, %s);

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

-- name: cancel_key
select command.cancel_key(%s, %s, %s::jsonb);

-- name: partitions
select c.command_id, c.partition from unnest(%s::uuid[]) as i(command_id) cross join lateral (
  select c.command_id, c.partition from command.commands c
  where c.tenant_id = %s and c.command_id = i.command_id offset 0) c;

-- name: take_key
-- What the update returns, it has locked: a select beside it would not see the row of another that it waited for.
insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at)
values (%(tenant)s, %(method)s, %(key)s, %(hash)s, %(command)s, clock_timestamp() + interval '24 hours')
on conflict (tenant_id, method, key) do update
  set hash = case when k.expires_at < now() then excluded.hash else k.hash end,
      command_id = case when k.expires_at < now() then excluded.command_id else k.command_id end,
      expires_at = case when k.expires_at < now() then excluded.expires_at else k.expires_at end
returning case when old.hash is null or old.expires_at < new.expires_at then 'taken'
               when new.hash = %(hash)s then 'replay' else 'reused' end::command.key_code as code;

-- name: drop_key
delete from command.idempotency where tenant_id = %(tenant)s and method = %(method)s and key = %(key)s;

-- name: take_batch_key
insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at, lease_until)
values (%(tenant)s, %(method)s, %(key)s, %(hash)s, gen_random_uuid(), clock_timestamp() + interval '24 hours',
        clock_timestamp() + %(lease)s * interval '1 second')
on conflict (tenant_id, method, key) do update
  set hash = case when k.expires_at < now() then excluded.hash else k.hash end,
      plan = case when k.expires_at < now() then null else k.plan end,
      answer = case when k.expires_at < now() then null else k.answer end,
      expires_at = case when k.expires_at < now() then excluded.expires_at else k.expires_at end,
      lease_until = case when k.expires_at < now()
                           or (k.hash = excluded.hash and k.answer is null and k.lease_until < now())
                         then excluded.lease_until else k.lease_until end
returning case when old.hash is null or old.expires_at < new.expires_at then 'taken'
               when new.hash <> %(hash)s then 'reused'
               when new.answer is not null then 'replay'
               when new.lease_until <> old.lease_until then 'taken'
               else 'in_use' end::command.key_code as code, new.plan, new.answer;

-- name: keep_plan
update command.idempotency set plan = coalesce(plan, %(plan)s)
where tenant_id = %(tenant)s and method = %(method)s and key = %(key)s returning plan;

-- name: keep_answer
update command.idempotency set answer = coalesce(answer, %(answer)s), lease_until = clock_timestamp()
where tenant_id = %(tenant)s and method = %(method)s and key = %(key)s returning answer;

-- name: end_lease
update command.idempotency set lease_until = '-infinity'
where tenant_id = %(tenant)s and method = %(method)s and key = %(key)s and plan is not null and answer is null;

-- name: forget_unplanned
delete from command.idempotency
where tenant_id = %(tenant)s and method = %(method)s and key = %(key)s and plan is null;
