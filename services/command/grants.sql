-- Who may call the functions of the command service. It runs again whenever a function changed, because everybody may
-- call a new function until this revokes the right.
revoke all on all functions in schema command from public, callboard_session, callboard_command;
grant execute on function
  command.submit, command.cancel, command.claim, command.report, command.finish, command.dispatch_lost,
  command.connected, command.purge_dead_letter, command.purge_dead_letters, command.requeue_destinations,
  command.oldest_snapshot, command.is_held
  to callboard_command;
