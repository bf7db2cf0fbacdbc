-- Returns the states of sessions, by uid. Plain SQL without settings, so that the planner inlines it.
create or replace function session.states(p_tenant text, p_session_uids uuid[])
returns table (session_uid uuid, state session.session_state)
language sql stable as $$
  select u.session_uid, h.state
  from unnest(p_session_uids) as u(session_uid) cross join lateral (
    select h.state from session.heads h where h.tenant_id = p_tenant and h.session_uid = u.session_uid offset 0) h
$$;
