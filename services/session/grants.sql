-- Who may call the functions of the session service. It runs again whenever a function changed, because everybody may
-- call a new function until this revokes the right.
revoke all on all functions in schema session from public, callboard_session, callboard_command;
grant execute on function
  session.bucket_of, session.make_buckets, session.lock_log, session.append_events, session.event_line,
  session.start, session.stop, session.advance_stop, session.append_items, session.snapshot
  to callboard_session;
-- What the command service may call of this schema.
grant execute on function session.fail, session.partition_of to callboard_command;
