-- The schemas, and the roles that the services act in. A service connects with its own login and takes one of these
-- roles for the whole connection. Neither role owns a table, so neither can disable the triggers.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['callboard_session', 'callboard_command'] loop
    if not exists (select from pg_roles where rolname = v_role) then
      execute format('create role %I nologin', v_role);
    end if;
    if exists (select from pg_roles where rolname = 'callboard_app') then
      execute format('grant %I to callboard_app', v_role);
    end if;
    execute format('grant %I to %I', v_role, current_user);
  end loop;
end
$$;

create schema identity;
create schema session;
create schema command;
create schema idempotency;
grant usage on schema identity, session, command, idempotency to callboard_session, callboard_command;
