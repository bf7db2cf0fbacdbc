-- name: take
select code, plan, response
from unnest(idempotency.take(%(tenant)s, %(method)s, array[%(key)s], array[%(hash)s]::bytea[],
                             array[%(response)s]::text[], make_interval(secs => %(lease)s)));

-- name: finish
select idempotency.finish(%(tenant)s, %(method)s, %(key)s, %(response)s);

-- name: release
select idempotency.release(%(tenant)s, %(method)s, array[%(key)s], %(state)s);

-- name: keep_plan
select idempotency.keep_plan(%(tenant)s, %(method)s, %(key)s, %(plan)s);

-- name: leave_note
select idempotency.leave_note(%(tenant)s, %(method)s, %(key)s, %(note)s::jsonb);

-- name: forget_expired
select idempotency.forget_expired(1000);
