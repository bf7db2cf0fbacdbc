-- Returns the answers of a submit. A replay gets the answer of the command that its key was used for. A command with a
-- retention of less than a day may be deleted before its key expires. Then the answer contains only what the command's
-- id tells. Plain SQL without settings, so that the planner inlines it.
create or replace function command.answer_submits(p_tenant text, p_agents text[], p_rows command.submit_row[],
                                                  p_now timestamptz)
returns table (ord integer, code command.submit_code, command_id uuid, correlation_id text, agent_id text,
               session_id text, enqueued_at timestamptz, runner_id uuid, state session.session_state)
language sql stable as $$
  select r.ord::integer,
         case when r.code = 'no_session' and not exists (
                select from session.known_agents(p_tenant, p_agents) a where a = r.wanted_agent_id)
              then 'agent_not_found' else r.code end,
         k.id,
         coalesce(c.correlation_id, case when r.correlation_id <> r.id::text then r.correlation_id else k.id::text end),
         coalesce(c.agent_id, case when k.is_forgotten then coalesce(r.wanted_agent_id, r.agent_id)
                                   else r.agent_id end),
         coalesce(c.session_id, case when k.is_forgotten and r.wanted_agent_id is not null then ''
                                     else r.session_id end),
         coalesce(c.enqueued_at, case when k.is_forgotten then uuid_extract_timestamp(k.id)
                                      else p_now + r.ord * interval '1 microsecond' end),
         r.runner_id, r.session_state
  from unnest(p_rows) as r
  left join lateral (
    select c.command_id, c.correlation_id, c.agent_id, c.session_id, c.enqueued_at from command.commands c
    where r.code = 'replay' and c.tenant_id = p_tenant and c.command_id = r.prior_id offset 0) c on true
  cross join lateral (select case when r.code = 'replay' then r.prior_id else r.id end as id,
                             r.code = 'replay' and c.command_id is null as is_forgotten) k
$$;
