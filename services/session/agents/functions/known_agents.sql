-- Returns which of the agents exist, to distinguish "no such agent" from "no session". Plain SQL without settings, so
-- that the planner inlines it.
create or replace function session.known_agents(p_tenant text, p_agent_ids text[]) returns setof text
language sql stable as $$
  select a.agent_id from session.agents a where a.tenant_id = p_tenant and a.agent_id = any (p_agent_ids)
$$;
