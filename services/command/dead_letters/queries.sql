-- name: dead_letter
select command_id, reason, dead_at, requeued_as from command.dead_letters where tenant_id = %s and command_id = %s;

-- name: attempts
select attempt, runner_id, outcome, charged, error, started_at, ended_at
from command.attempts where tenant_id = %s and command_id = %s order by attempt;

-- name: requeue_targets
select l.command_id, l.agent_id, l.requeued_as from unnest(%(ids)s::uuid[]) as i(command_id) cross join lateral (
  select l.command_id, l.agent_id, l.requeued_as from command.dead_letters l
  where l.tenant_id = %(tenant)s and l.command_id = i.command_id offset 0) l;

-- name: commands
-- As many of the first commands as have up to `bytes` of parameters together, and at least one.
select c.ord, c.fits, $brief(c), case when c.fits then c.params end as params
from (
  select i.ord::integer, c.*,
         sum(octet_length(c.params)) over (order by i.ord) <= %(bytes)s or row_number() over (order by i.ord) = 1 as fits
  from unnest(%(ids)s::uuid[]) with ordinality as i(command_id, ord) cross join lateral (
    select c.* from command.commands c where c.tenant_id = %(tenant)s and c.command_id = i.command_id offset 0) c) c
order by c.ord;

-- name: destinations
select agent_id, code, session_id, state from command.requeue_destinations(%s, %s, %s);

-- name: purge
select command.purge_letter(%s, %s, %s, %s);

-- name: purge_many
select code, answer from command.purge_letters(%s, %s, %s, %s, %s, %s);

-- name: get_command
select $command(c), coalesce(c.result, r.result) as result
from command.commands c left join command.results r using (tenant_id, command_id)
where c.tenant_id = %s and c.command_id = %s;
