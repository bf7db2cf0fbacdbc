-- Finds the session of an item of `append_items`, and returns the code that accepts or rejects the item.
create or replace function session.append_target(p_tenant text, p_partition smallint, p_session_id text)
returns table (code text, session_uid uuid, state session.session_state)
language sql stable as $$
  select case when s.session_uid is null then 'session_not_found'
              when s.partition <> p_partition then 'moved'
              when not session.can_stop(s.state) then 'not_active'
              else 'ok' end, s.session_uid, s.state
  from (select p_session_id as session_id) i left join lateral (
    select s.session_uid, s.state, s.partition from session.sessions s
    where s.tenant_id = p_tenant and s.session_id = i.session_id offset 0) s on true
$$;
