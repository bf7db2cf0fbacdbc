-- Resolves the session of each item of a submit and decides its code. The partition is locked. Plain SQL without
-- settings, so that the planner inlines it.
--
-- A connection makes its plans once, often while a table is nearly empty. The planner then tends to begin a join with
-- all rows of a tenant. So here and in the other functions, each lookup by key is a lateral subquery with `offset 0`,
-- which the planner does not reorder. Rows found under the partition's lock do not change while it is held, so they can
-- be updated by ctid.
create or replace function command.resolve_submits(p_tenant text, p_partition smallint, p_items json,
                                                   p_taken idempotency.taken[], p_agents text[], p_sessions text[])
returns setof command.resolved_submit language sql stable as $$
  with target as materialized (
    select * from session.targets(p_tenant, p_agents, p_sessions)
  ), of_agent as materialized (
    select t.agent_id, count(*) as n, (array_agg(t.session_uid))[1] as session_uid,
           (array_agg(t.session_id))[1] as session_id, (array_agg(t.partition))[1] as partition,
           (array_agg(t.state))[1] as state
    from target t where session.is_live(t.state) group by t.agent_id
  )
  select i.id, i.agent_id, i.session_id, i.type, i.params, i.correlation_id, i.actor, i.address, i.max_attempts,
         i.options, i.priority, i.not_before, i.ordering_key, i.retention_s, i.requeued_from, i.event, i.ordinality,
         coalesce(a.session_uid, s.session_uid), coalesce(a.session_id, s.session_id),
         coalesce(a.agent_id, s.agent_id), coalesce(a.state, s.state),
         case
           when i.code <> 'taken' then i.code
           when i.requeued_from is not null and l.command_id is null then 'dead_letter_not_found'
           when l.requeued_as is not null or i.requeued_from is not null
             and row_number() over (partition by i.requeued_from order by i.ordinality) > 1 then 'requeued'
           when l.agent_id <> s.agent_id then 'not_its_session'
           when a.n > 1 then 'ambiguous'
           when i.agent_id is not null and a.agent_id is null then 'no_session'
           when i.session_id is not null and s.session_id is null then 'session_not_found'
           when coalesce(a.partition, s.partition) <> p_partition then 'moved'
           when coalesce(a.state, s.state) <> 'active' then 'not_active'
           else 'ok' end,
         i.response::uuid, n.runner_id, i.note
  from rows from (json_populate_recordset(null::command.submit_item, p_items), unnest(p_taken)) with ordinality as i
  left join of_agent a on i.agent_id is not null and a.agent_id = i.agent_id
  left join target s on i.session_id is not null and s.session_id = i.session_id
  left join lateral (
    select l.command_id, l.requeued_as, l.agent_id from command.dead_letters l
    where i.requeued_from is not null and l.tenant_id = p_tenant and l.command_id = i.requeued_from offset 0) l on true
  left join lateral (
    select n.runner_id from command.connections n
    where n.tenant_id = p_tenant and n.session_uid = coalesce(a.session_uid, s.session_uid)
      and n.state = 'connected' offset 0) n on true
$$;
