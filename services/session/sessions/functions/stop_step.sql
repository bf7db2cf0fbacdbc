-- The result of one step of a stop. `code` is 'stopped', 'stopping' while commands are open, 'none', or why it was
-- rejected.
create type session.stop_step as (
  code           session.stop_code,
  session_uid    uuid,
  snapshot       jsonb,
  next_uid       uuid,
  next_snapshot  jsonb,
  open_commands  integer,
  runners        uuid[],
  first_position bigint,
  last_position  bigint,
  notification   text,
  detail         text
);
