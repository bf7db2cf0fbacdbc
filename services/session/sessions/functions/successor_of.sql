-- Returns the spec of the session that a restart starts: the request's, or with `inherit` the old one's under a new id.
create or replace function session.successor_of(p_live session.sessions, p_next jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if (p_next ->> 'inherit')::boolean is not true then
    return p_next;
  end if;
  -- `open` replaces what is the live session's alone, such as its state and its times.
  return to_jsonb(p_live) - 'closing' - 'result' - 'error' || jsonb_build_object(
    'session_uid', p_next -> 'session_uid', 'session_id', p_next -> 'session_id', 'actor', p_next -> 'actor',
    'address', p_next -> 'address', 'reason', p_next -> 'reason');
end
$$;
