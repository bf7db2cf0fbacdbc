-- Returns whether a session has a command that has not ended.
create or replace function command.has_open(p_tenant text, p_session_uid uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from command.commands c where c.tenant_id = p_tenant and c.session_uid = p_session_uid
                 and c.finished_at is null)
$$;
