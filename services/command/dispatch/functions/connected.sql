-- Records that a runner has connected sessions to their agents, and appends `agent.connected` for each that it still
-- owns. Returns the uids of these sessions. Item: {uid, event}.
create or replace function command.connected(p_tenant text, p_partition smallint, p_runner uuid, p_items json)
returns table (session_uid uuid, first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_events session.new_event[];
  v_uids   uuid[];
  v_done   session.appended;
begin
  perform session.lock_log(p_tenant, p_partition);
  with item as materialized (
    select p_tenant as tenant_id, i.* from json_to_recordset(p_items) as i(uid uuid, event text)
  ), held as (
    update command.connections n set state = 'connected', attempts = 0
      from item i where n.tenant_id = i.tenant_id and n.session_uid = i.uid and n.partition = p_partition
        and n.runner_id = p_runner and n.state = 'connecting'
      returning n.session_uid, i.event
  )
  select array_agg(row(h.session_uid, 'agent.connected', 1, null, '', 'runner:' || p_runner, '',
                       h.event)::session.new_event),
         array_agg(h.session_uid)
    into v_events, v_uids from held h;
  v_done := session.append_events(p_tenant, p_partition, v_events);
  update command.ready d set dispatch_after = d.available_at
    where d.session_uid = any (v_uids) and d.published_seq is null
      and d.dispatch_after > d.available_at;
  return query select u, v_done.first_position, v_done.last_position, case when n = 1 then v_done.notification end
    from unnest(v_uids) with ordinality as x(u, n);
end
$$;
