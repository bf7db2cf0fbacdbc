-- One item of a submit, written by the command service. `event` is the payload of
-- `command.enqueued`.
create type command.submit_item as (
  id             uuid,
  agent_id       text,
  session_id     text,
  type           text,
  params         text,
  correlation_id text,
  actor          text,
  address        text,
  max_attempts   smallint,
  options        command.run_options,
  priority       smallint,
  not_before     timestamptz,
  ordering_key   text,
  retention_s    integer,
  requeued_from  uuid,
  event          text
);
