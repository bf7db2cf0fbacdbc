-- The result of a submit for one item, from which its answer is made.
create type command.submit_row as (
  ord             bigint,
  code            command.submit_code,
  id              uuid,
  prior_id        uuid,
  correlation_id  text,
  agent_id        text,
  session_id      text,
  wanted_agent_id text,
  runner_id       uuid,
  session_state   text,
  requeued_from   uuid
);
