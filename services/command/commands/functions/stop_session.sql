-- Takes one step of the stop of a session's commands, in the caller's transaction. It cancels up to `p_limit` waiting
-- commands and requests the running ones to stop by `p_deadline`; with force it cancels these too. When none is open,
-- it closes the connection. The partition is locked.
create or replace function command.stop_session(p_tenant text, p_partition smallint, p_session_uid uuid,
                                                p_limit integer, p_force boolean, p_deadline timestamptz, p_actor text)
returns command.stop_step language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_step command.stop_step;
begin
  v_step.events := command.request_stop(p_tenant, p_session_uid, p_deadline, p_actor)
    || command.cancel_open(p_tenant, p_session_uid, p_limit, p_force, p_actor);
  select count(*), array_agg(distinct c.runner_id) filter (where c.runner_id is not null)
    into v_step.open_commands, v_step.runners
    from command.commands c where c.tenant_id = p_tenant and c.session_uid = p_session_uid
      and c.finished_at is null;
  if v_step.open_commands = 0 then
    delete from command.connections n
      where n.tenant_id = p_tenant and n.session_uid = p_session_uid and n.runner_id is null;
    update command.connections n set state = 'closing'
      where n.tenant_id = p_tenant and n.session_uid = p_session_uid;
  end if;
  select coalesce(array_agg(distinct r), '{}') into v_step.runners from (
    select unnest(v_step.runners) as r
    union select n.runner_id from command.connections n
      where n.tenant_id = p_tenant and n.session_uid = p_session_uid and n.runner_id is not null) as all_of_them;
  return v_step;
end
$$;
