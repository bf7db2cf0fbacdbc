-- The result of a cancel for one command. `runner_id` is the runner to notify.
create type command.cancel_row as (id uuid, code command.cancel_code, state command.command_state, runner_id uuid);
