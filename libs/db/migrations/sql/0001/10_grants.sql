grant usage on schema session, command to callboard_session, callboard_command;
revoke execute on all functions in schema session, command from public;

grant select on all tables in schema session to callboard_session;
grant insert, update, delete on session.agents to callboard_session;
grant insert, update, delete on session.idempotency to callboard_session;
grant execute on function
  session.bucket_of, session.make_buckets, session.lock_log, session.append_events, session.event_line,
  session.start, session.stop, session.stop_further, session.append_items, session.snapshot, session.take_key,
  session.finish_key
  to callboard_session;

grant select, insert, update, delete on all tables in schema command to callboard_command;
grant execute on all functions in schema command to callboard_command;
-- The two schemas meet in granted functions alone.
grant execute on function session.fail, session.part_of to callboard_command;
