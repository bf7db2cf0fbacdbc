-- Stores a new active session and requests its connection. A column gets what the item has under its name. Returns the
-- events to append, or null when the session's id is taken. The partition is locked.
create or replace function session.open(
  p_tenant text, p_partition smallint, p_agent session.agents, p_item jsonb, p_restart_count integer, p_previous text
) returns session.new_event[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := clock_timestamp();
  v_uid uuid := (p_item ->> 'session_uid')::uuid;
  v_id  text := p_item ->> 'session_id';
begin
  insert into session.sessions
    select s.* from jsonb_populate_record(null::session.sessions, p_item || jsonb_build_object(
      'tenant_id', p_tenant, 'agent_id', p_agent.agent_id, 'partition', p_partition, 'exclusive', p_agent.exclusive,
      'state', 'active', 'restart_count', p_restart_count, 'restarted_from', coalesce(p_previous, ''),
      'created_by', p_item ->> 'actor', 'version', 1, 'created_at', v_now, 'updated_at', v_now, 'started_at', v_now,
      'ended_at', null, 'result', null, 'error', null, 'closing', null)) s
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
