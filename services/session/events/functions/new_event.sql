-- An event to append.
create type session.new_event as (
  session_uid    uuid,
  type           text,
  level          smallint,
  command_id     uuid,
  correlation_id text,
  actor          text,
  address        text,
  payload        text
);
