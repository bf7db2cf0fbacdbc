-- Stores progress and output of running commands, fenced by their lease tokens. Item: {id, token, progress (JSON text,
-- optional), type, payload, actor}. An item whose token is no longer valid gets the code 'fenced'.
create or replace function command.report(p_tenant text, p_partition smallint, p_items json)
returns table (command_id uuid, code command.fence_code, first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_events session.new_event[];
  v_fenced uuid[];
  v_done   session.appended;
  v_log    session.log;
begin
  v_log := session.lock_log(p_tenant, p_partition);
  with item as materialized (
    select i.* from rows from (json_to_recordset(p_items) as (
      id uuid, token uuid, progress text, type text, payload text, actor text)) with ordinality
      as i(id, token, progress, type, payload, actor, ord)
  ), held as materialized (
    select i.*, c.at, c.session_uid, c.correlation_id
    from item i cross join lateral (
      select c.ctid as at, c.session_uid, c.correlation_id from command.commands c
      where c.tenant_id = p_tenant and c.command_id = i.id and c.lease_token = i.token and c.state = 'running'
        and c.partition = p_partition offset 0) c
  ), shown as (
    update command.commands c set progress = l.progress
      from (select distinct on (h.id) h.id, h.at, h.token, h.progress from held h where h.progress is not null
            order by h.id, h.ord desc) l
      where c.ctid = l.at and c.lease_token = l.token and c.state = 'running'
  )
  select array_agg(row(h.session_uid, h.type, 1, h.id, h.correlation_id, h.actor, '', h.payload)::session.new_event
                   order by h.ord) filter (where h.id is not null),
         array_agg(i.id) filter (where h.id is null)
    into v_events, v_fenced
    from item i left join held h on h.ord = i.ord;
  v_done := session.append_locked(v_log, v_events);
  return query
    select f.id, 'fenced'::command.fence_code, v_done.first_position, v_done.last_position, null::text
    from unnest(v_fenced) as f(id)
    union all select null, 'ok'::command.fence_code, v_done.first_position, v_done.last_position, v_done.notification;
end
$$;
