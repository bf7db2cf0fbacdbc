-- Locks a partition and appends events to it, in the caller's transaction.
create or replace function session.append_events(p_tenant text, p_partition smallint, p_events session.new_event[])
returns session.appended language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  return session.append_locked(session.lock_log(p_tenant, p_partition), p_events);
end
$$;
