-- Writes an event as one line of JSON, which the hash chain covers and the live tail reads. `p_micros` counts
-- microseconds from the epoch, because the text of a timestamp depends on the time zone (rule 12).
create or replace function session.event_line(
  p_position bigint, p_seq bigint, p_session_uid uuid, p_event_id uuid, p_type text, p_level smallint,
  p_session_id text, p_agent_id text, p_command_id uuid, p_correlation_id text, p_actor text, p_address text,
  p_micros bigint, p_payload text
) returns text language sql stable parallel safe
return '[' || p_position || ',' || p_seq || ',"' || p_session_uid || '","' || p_event_id || '","' || p_type || '",'
  || p_level || ',"' || p_session_id || '","' || p_agent_id || '","' || coalesce(p_command_id::text, '') || '",'
  || to_json(p_correlation_id) || ',' || to_json(p_actor) || ',' || to_json(p_address) || ',' || p_micros || ','
  || to_json(p_payload) || ']';
