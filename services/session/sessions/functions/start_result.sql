-- The result of one item of `start`. `detail` is the id of the session that is already live.
create type session.start_result as (
  code        text,
  session_uid uuid,
  detail      text,
  events      session.new_event[]
);
