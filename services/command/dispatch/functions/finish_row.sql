-- The result of a finish for one attempt: the code, and the new state of its command.
create type command.finish_row as (id uuid, code command.fence_code, state command.outcome);
