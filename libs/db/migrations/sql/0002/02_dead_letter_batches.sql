-- Requeue and purge of many. A requeue takes several transactions, so its key is leased while it runs (rule 8): `plan`
-- says what the key stands for, once that is chosen, and `answer` what came of it.
alter table command.idempotency
  add column lease_until timestamptz,
  add column plan        text,
  add column answer      text;

-- Purges the letters of these ids, in one transaction with the caller's key. `p_requeued` true or false takes only those
-- that were requeued, or were not; null takes both. The answer is JSON: {purged: [...], more}. Answers 'ok', 'replay'
-- or 'reused'.
--
-- Whoever else changes several letters (a requeue, the mark that they were published) locks them in an order of its
-- own. So nobody is waited for while locks are held: those that are taken are tried again a few times, and then the
-- whole purge is given up, to be run anew.
create function command.purge_letters(p_tenant text, p_key text, p_hash bytea, p_ids uuid[], p_requeued boolean,
                                      p_more boolean)
returns table (code text, answer text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_left   uuid[] := p_ids;
  v_gone   uuid[];
  v_purged uuid[] := '{}';
begin
  code := 'ok';
  if p_key is not null then
    insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at)
      values (p_tenant, 'purge_many', p_key, p_hash, gen_random_uuid(), clock_timestamp() + interval '24 hours')
      on conflict (tenant_id, method, key) do update
        set hash = case when k.expires_at < now() then excluded.hash else k.hash end,
            answer = case when k.expires_at < now() then null else k.answer end,
            expires_at = case when k.expires_at < now() then excluded.expires_at else k.expires_at end
      returning case when old.hash is null or old.expires_at < new.expires_at then 'ok'
                     when new.hash = p_hash then 'replay' else 'reused' end, new.answer into code, answer;
    if code <> 'ok' then
      return next;
      return;
    end if;
  end if;
  for v_try in 1 .. 6 loop
    with wanted as materialized (
      select l.at from (select distinct unnest(v_left) as id) i cross join lateral (
        select l.ctid as at from command.dead_letters l
        where l.tenant_id = p_tenant and l.command_id = i.id
          and (p_requeued is null or (l.requeued_as is not null) = p_requeued)
        for update skip locked) l
    ), purged as (
      delete from command.dead_letters l where l.ctid = any (array(select w.at from wanted w)) returning l.command_id
    )
    select array_agg(p.command_id) into v_gone from purged p;
    v_purged := v_purged || coalesce(v_gone, '{}');
    select array_agg(i.id) into v_left from (select distinct unnest(v_left) as id) i cross join lateral (
      select l.command_id from command.dead_letters l
      where l.tenant_id = p_tenant and l.command_id = i.id
        and (p_requeued is null or (l.requeued_as is not null) = p_requeued) offset 0) l;
    exit when v_left is null;
    perform pg_sleep(0.02);
  end loop;
  if v_left is not null then
    raise exception 'dead letters are in use' using errcode = 'lock_not_available';
  end if;
  answer := json_build_object('more', p_more, 'purged', array(
    select i.id from unnest(p_ids) with ordinality as i(id, ord) where i.id = any (v_purged) order by i.ord))::text;
  if p_key is not null then
    update command.idempotency k set answer = purge_letters.answer
      where k.tenant_id = p_tenant and k.method = 'purge_many' and k.key = p_key;
  end if;
  return next;
end
$$;

-- Purges one letter in one transaction with the caller's key: a twin waits for the key, and then finds what came of it.
-- Answers 'ok', 'replay', 'reused', or 'gone', which keeps no key.
create function command.purge_letter(p_tenant text, p_key text, p_hash bytea, p_id uuid) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_code text := 'ok';
begin
  if p_key is not null then
    insert into command.idempotency as k (tenant_id, method, key, hash, command_id, expires_at)
      values (p_tenant, 'purge', p_key, p_hash, p_id, clock_timestamp() + interval '24 hours')
      on conflict (tenant_id, method, key) do update
        set hash = case when k.expires_at < now() then excluded.hash else k.hash end,
            expires_at = case when k.expires_at < now() then excluded.expires_at else k.expires_at end
      returning case when old.hash is null or old.expires_at < new.expires_at then 'ok'
                     when new.hash = p_hash then 'replay' else 'reused' end into v_code;
  end if;
  if v_code = 'ok' then
    delete from command.dead_letters l where l.tenant_id = p_tenant and l.command_id = p_id;
    if not found then
      delete from command.idempotency k where k.tenant_id = p_tenant and k.method = 'purge' and k.key = p_key;
      v_code := 'gone';
    end if;
  end if;
  return v_code;
end
$$;

-- Where the dead commands of these agents could go now: the code that a submit would answer, with the live session.
create function command.requeue_targets(p_tenant text, p_agents text[])
returns table (agent_id text, code text, session_id text, state text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select a.agent_id,
         case when count(t.session_uid) > 1 then 'ambiguous'
              when count(t.session_uid) = 1 then case when min(t.state) = 'active' then 'ok' else 'not_active' end
              when exists (select from session.known_agents(p_tenant, array[a.agent_id])) then 'no_session'
              else 'agent_not_found' end,
         min(t.session_id), min(t.state)
  from (select distinct unnest(p_agents) as agent_id) a
  left join session.targets(p_tenant, p_agents, '{}') t on t.agent_id = a.agent_id
  group by a.agent_id
$$;

revoke execute on function command.purge_letter, command.purge_letters, command.requeue_targets from public;
grant execute on function command.purge_letter, command.purge_letters, command.requeue_targets to callboard_command;
