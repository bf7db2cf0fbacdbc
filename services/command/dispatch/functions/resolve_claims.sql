-- Finds the commands of a claim and decides the code of each: whether the runner may claim it. Plain SQL without
-- settings, so that the planner inlines it.
create or replace function command.resolve_claims(p_tenant text, p_partition smallint, p_runner uuid, p_ids uuid[],
                                                  p_now timestamptz, p_is_alive boolean)
returns table (id uuid, ord bigint, at tid, code command.claim_code)
language sql stable as $$
  with found as materialized (
    select i.id, i.ord, c.at, c.session_uid, d.blocked or d.available_at > p_now as not_due,
           d.command_id is not null as is_ready
    from unnest(p_ids) with ordinality as i(id, ord)
    left join lateral (
      select c.ctid as at, c.session_uid, c.command_id from command.commands c
      where c.tenant_id = p_tenant and c.command_id = i.id and c.partition = p_partition
        and command.can_claim(c.state) offset 0) c on true
    left join lateral (
      select d.command_id, d.blocked, d.available_at from command.ready d
      where d.tenant_id = p_tenant and d.command_id = i.id and c.command_id is not null offset 0) d on true
  ), owned as materialized (
    select u.session_uid, s.state, n.runner_id = p_runner and n.state = 'connected' as is_owner
    from (select distinct f.session_uid from found f where f.session_uid is not null) u
    left join session.states(p_tenant, array(select distinct f.session_uid from found f)) s
      on s.session_uid = u.session_uid
    left join lateral (
      select n.runner_id, n.state from command.connections n
      where n.tenant_id = p_tenant and n.session_uid = u.session_uid offset 0) n on true
  )
  select f.id, f.ord, f.at,
         case when not f.is_ready then 'gone'
              when not p_is_alive then 'runner_dead'
              when f.not_due then 'not_due'
              when o.state is distinct from 'active' then 'session_not_active'
              when o.is_owner is not true then 'not_owner'
              else 'ok' end
  from found f left join owned o on o.session_uid = f.session_uid
$$;
