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
         sum(octet_length(c.params)) over (order by i.ord) <= %(bytes)s or row_number() over (order by i.ord) = 1
           as fits
  from unnest(%(ids)s::uuid[]) with ordinality as i(command_id, ord) cross join lateral (
    select c.* from command.commands c where c.tenant_id = %(tenant)s and c.command_id = i.command_id offset 0) c) c
order by c.ord;

-- name: destinations
select agent_id, code, session_id, state from command.requeue_destinations(%s, %s, %s);

-- name: purge
select command.purge_dead_letter(%s, %s, %s, %s);

-- name: purge_many
select code, answer from command.purge_dead_letters(%s, %s, %s, %s, %s, %s);

-- name: get_command
select $command(c), coalesce(c.result, r.result) as result
from command.commands c left join command.results r using (tenant_id, command_id)
where c.tenant_id = %s and c.command_id = %s;

-- name: matching
l.tenant_id = %(tenant)s
    and l.agent_id = %(agent_id)s -- if agent_id
    and l.session_id = %(session_id)s -- if session_id
    and l.type = %(type)s -- if type
    and l.correlation_id = %(correlation_id)s -- if correlation_id
    and l.dead_at >= %(dead_after)s -- if dead_after
    and l.dead_at < %(dead_before)s -- if dead_before
    and l.requeued_as is not null -- if requeued
    and l.requeued_as is null -- if not_requeued

-- name: find
-- Each reason reads its own part of the index, in the order of the result. A command whose retention is over may be
-- deleted at this moment, and its dead letter with it.
select $command(c), c.result, l.reason, l.dead_at, l.requeued_as
from (
  select l.* from unnest(%(reasons)s::text[]) as r(reason) cross join lateral ( -- if reasons
  select l.command_id, l.reason, l.dead_at, l.requeued_as
  from command.dead_letters l
  where $matching
    and l.reason = r.reason -- if reasons
    and (l.dead_at, l.command_id) < (%(at)s::timestamptz, %(id)s::uuid) -- if at
  order by l.dead_at desc, l.command_id desc
  limit %(limit)s
  ) l order by l.dead_at desc, l.command_id desc limit %(limit)s -- if reasons
) l cross join lateral (
  select c.* from command.commands c
  where c.tenant_id = %(tenant)s and c.command_id = l.command_id offset 0) c
order by l.dead_at desc, l.command_id desc;

-- name: match
-- The oldest first, up to the time at which the first page was read.
select l.command_id, l.dead_at, clock_timestamp() as queried_at
from (
  select l.* from unnest(%(reasons)s::text[]) as r(reason) cross join lateral ( -- if reasons
  select l.command_id, l.dead_at
  from command.dead_letters l
  where $matching
    and l.reason = r.reason -- if reasons
    and (l.dead_at, l.command_id) > (%(at)s::timestamptz, %(id)s::uuid) -- if at
    and l.dead_at <= %(until)s::timestamptz -- if until
  order by l.dead_at, l.command_id
  limit %(limit)s
  ) l order by l.dead_at, l.command_id limit %(limit)s -- if reasons
) l
order by l.dead_at, l.command_id;

-- name: count
select count(*)
from (
  select
  from command.dead_letters l
  where $matching
    and l.reason = any(%(reasons)s::text[]) -- if reasons
  limit %(limit)s) l;
