-- Who may call the functions of idempotency keys. Services cannot read or write the table directly. It runs again
-- whenever a function changed, because everybody may call a new function until this revokes the right.
revoke all on all functions in schema idempotency from public, callboard_session, callboard_command;
grant execute on function idempotency.take, idempotency.finish, idempotency.release to callboard_session;
grant execute on function
  idempotency.take, idempotency.finish, idempotency.release, idempotency.keep_plan, idempotency.leave_note,
  idempotency.forget_expired
  to callboard_command;
