-- What a restart starts after a session: what the request says, or by `inherit` the session's own spec under a new id.
create or replace function session.successor_of(p_live session.sessions, p_next jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if (p_next ->> 'inherit')::boolean is not true then
    return p_next;
  end if;
  return jsonb_build_object(
    'session_type', p_live.session_type, 'mode', p_live.mode, 'title', p_live.title, 'task', p_live.task,
    'task_id', p_live.task_id, 'workspace', p_live.workspace, 'user_id', p_live.user_id,
    'channel_id', p_live.channel_id, 'resource_id', p_live.resource_id, 'labels', p_live.labels,
    'context', p_live.context, 'metadata', p_live.metadata, 'session_uid', p_next -> 'session_uid',
    'session_id', p_next -> 'session_id', 'actor', p_next -> 'actor', 'address', p_next -> 'address',
    'reason', p_next -> 'reason');
end
$$;
