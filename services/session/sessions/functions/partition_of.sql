-- Returns the partition of a session's events, null when there is no such session.
create or replace function session.partition_of(p_tenant text, p_session_id text) returns smallint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.partition from session.sessions s where s.tenant_id = p_tenant and s.session_id = p_session_id
$$;
