-- Settles an item of `start` after the append: takes the snapshot of its session, and stores the answer under its key,
-- reads the answer for a replay, or drops the key. Returns the item's answer.
create or replace function session.settle_start(
  p_tenant text, p_key text, inout code text, inout session_uid uuid, out snapshot jsonb
) language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if code in ('created', 'existing') then
    snapshot := session.snapshot(p_tenant, session_uid);
    if p_key is not null then
      perform session.finish_key(p_tenant, 'start', p_key,
                                 jsonb_build_object('code', code, 'uid', session_uid, 'snapshot', snapshot));
    end if;
  elsif code = 'replay' then
    select k.response ->> 'code', (k.response ->> 'uid')::uuid, k.response -> 'snapshot'
      into code, session_uid, snapshot
      from session.idempotency k where k.tenant_id = p_tenant and k.method = 'start' and k.key = p_key;
  elsif p_key is not null and code not in ('reused', 'running') then
    perform session.drop_key(p_tenant, 'start', p_key);
  end if;
end
$$;
