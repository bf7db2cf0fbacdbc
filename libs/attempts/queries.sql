-- name: finish
select command_id, code, state, unblocked, first_position, last_position, notification
from command.finish(%s, %s::smallint, %s::json);
