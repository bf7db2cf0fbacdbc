-- Writes a time as in event payloads: RFC 3339 in UTC, with microseconds.
create or replace function session.iso_time(p_time timestamptz) returns text language sql stable parallel safe
return to_char(p_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
