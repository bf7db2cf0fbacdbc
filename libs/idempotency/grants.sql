-- Who may call the functions of idempotency keys. No service reads or writes the table by itself. Run again whenever a
-- function changed: a new function may be called by everybody until this takes it back.
revoke all on all functions in schema idempotency from public, callboard_session, callboard_command;
grant execute on function idempotency.take, idempotency.finish, idempotency.release to callboard_session;
grant execute on function
  idempotency.take, idempotency.finish, idempotency.release, idempotency.keep_plan, idempotency.leave_note,
  idempotency.forget_expired
  to callboard_command;
