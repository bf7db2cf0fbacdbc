-- Requests a connection to a session's agent.
create or replace function command.open_connection(p_tenant text, p_partition smallint, p_session_uid uuid,
                                                   p_session_id text, p_agent_id text, p_kind text, p_server text)
returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into command.connections (tenant_id, session_uid, partition, session_id, agent_id, kind, server, state)
  values (p_tenant, p_session_uid, p_partition, p_session_id, p_agent_id, p_kind, p_server, 'wanted')
$$;
