-- What became of one attempt: the code, and the state that its command is in now.
create type command.finish_row as (id uuid, code command.fence_code, state text);
