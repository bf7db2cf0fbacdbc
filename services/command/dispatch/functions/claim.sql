-- Claims commands of one partition for a runner. A command that is not claimed gets the code that says why, and becomes
-- due again. The lease token that a claim creates fences every later write to the command (rule 2).
create or replace function command.claim(p_tenant text, p_partition smallint, p_runner uuid, p_ids uuid[])
returns table (command_id uuid, code command.claim_code, lease_token uuid, attempt integer, charged integer,
               released integer, first_position bigint, last_position bigint, notification text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_is_alive boolean;
  v_now      timestamptz;
  v_events   session.new_event[];
  v_rows     command.claim_row[];
  v_done     session.appended;
  v_log      session.log;
begin
  v_log := session.lock_log(p_tenant, p_partition);
  v_now := clock_timestamp();
  v_is_alive := exists (select from command.runners r
                        where r.runner_id = p_runner and r.dead_at is null and r.lease_until > v_now);
  with candidate as materialized (
    select * from command.resolve_claims(p_tenant, p_partition, p_runner, p_ids, v_now, v_is_alive)
  ), taken as (
    update command.commands c
      set state = 'running', attempt = c.attempt + 1, lease_token = gen_random_uuid(), runner_id = p_runner,
          started_at = v_now, next_attempt_at = null, progress = null
      where c.ctid = any (array(select k.at from candidate k where k.code = 'ok'))
      returning c.command_id, c.session_uid, c.lease_token, c.attempt, c.charged, c.released, c.correlation_id
  ), dequeued as (
    delete from command.ready d
      where d.tenant_id = p_tenant and d.command_id = any (array(select t.command_id from taken t))
  ), returned as (
    update command.ready d
      set published_seq = null, published_to = null, dispatch_no = d.dispatch_no + 1,
          dispatch_after = greatest(d.available_at, v_now + interval '100 milliseconds')
      where d.tenant_id = p_tenant
        and d.command_id = any (array(select k.id from candidate k where k.code not in ('ok', 'gone')))
  )
  select array_agg(row(t.session_uid, 'command.started', 1, t.command_id, t.correlation_id, 'runner:' || p_runner, '',
                       '{"attempt":' || t.attempt || ',"runnerId":"' || p_runner || '"}')::session.new_event
                   order by k.ord) filter (where t.command_id is not null),
         array_agg(row(k.id, k.code, t.lease_token, t.attempt, t.charged, t.released)::command.claim_row order by k.ord)
    into v_events, v_rows
    from candidate k left join taken t on t.command_id = k.id;
  v_done := session.append_locked(v_log, v_events);
  return query
    select r.id, r.code, r.lease_token, r.attempt, r.charged, r.released, v_done.first_position, v_done.last_position,
           case when r.n = 1 then v_done.notification end
    from unnest(v_rows) with ordinality as r(id, code, lease_token, attempt, charged, released, n);
end
$$;
