-- What a submit decided for one item, from its write to its answer.
create type command.submit_row as (
  ord             bigint,
  code            command.submit_code,
  id              uuid,
  prior_id        uuid,
  correlation_id  text,
  agent_id        text,
  session_id      text,
  wanted_agent_id text,
  key             text,
  runner_id       uuid,
  session_state   text,
  requeued_from   uuid
);
