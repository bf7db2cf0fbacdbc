-- The result of one step of the stop of a session's commands: the events to append, the number of open commands, and
-- the runners to notify.
create type command.stop_step as (
  events        session.new_event[],
  open_commands integer,
  runners       uuid[]
);
