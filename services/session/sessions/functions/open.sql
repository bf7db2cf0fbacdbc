-- Writes a new active session and the wish for its connection. Returns the events to append, or null when the session's
-- id is taken. The partition is locked.
create or replace function session.open(
  p_tenant text, p_partition smallint, p_agent session.agents, p_item jsonb, p_restart_count integer, p_previous text
) returns session.new_event[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := clock_timestamp();
  v_uid uuid := (p_item ->> 'session_uid')::uuid;
  v_id  text := p_item ->> 'session_id';
begin
  insert into session.sessions (
    tenant_id, session_uid, session_id, agent_id, partition, exclusive, state, session_type, mode, title, task, task_id,
    workspace, user_id, channel_id, resource_id, labels, context, metadata, restart_count, restarted_from, created_by,
    created_at, updated_at, started_at)
  values (
    p_tenant, v_uid, v_id, p_agent.agent_id, p_partition, p_agent.exclusive, 'active', p_item ->> 'session_type',
    p_item ->> 'mode', p_item ->> 'title', p_item ->> 'task', p_item ->> 'task_id', p_item ->> 'workspace',
    p_item ->> 'user_id', p_item ->> 'channel_id', p_item ->> 'resource_id', p_item -> 'labels', p_item ->> 'context',
    p_item ->> 'metadata', p_restart_count, coalesce(p_previous, ''), p_item ->> 'actor', v_now, v_now, v_now)
  on conflict (tenant_id, session_id) do nothing;
  if not found then
    return null;
  end if;
  insert into session.heads (tenant_id, session_uid, partition, session_id, agent_id, state, first_bucket)
    values (p_tenant, v_uid, p_partition, v_id, p_agent.agent_id, 'active',
            (select greatest(l.bucket, session.bucket_of(v_now)) from session.log l
             where l.tenant_id = p_tenant and l.partition = p_partition));
  perform command.open_connection(p_tenant, p_partition, v_uid, v_id, p_agent.agent_id, p_agent.kind, p_agent.server);
  return session.opening_events(p_item, p_restart_count, p_previous);
end
$$;
