-- Releases keys, so that the caller can try again with them. `p_state` is the state in which the call took them. A key
-- with a plan keeps the plan, and its lease ends. A key with a note keeps the note for its next use. Any other key is
-- deleted.
create or replace function idempotency.release(p_tenant text, p_method text, p_keys text[],
                                               p_state idempotency.key_state)
returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
  update idempotency.keys k
    set state = case when k.note is null then k.state else 'waiting' end,
        hash = case when k.note is null then k.hash else '' end, lease_until = '-infinity', response = null
    where k.tenant_id = p_tenant and k.method = p_method and k.key = any (p_keys) and k.state = p_state
      and (k.note is not null or k.plan is not null);
  delete from idempotency.keys k
    where k.tenant_id = p_tenant and k.method = p_method and k.key = any (p_keys) and k.state = p_state
      and k.note is null and k.plan is null;
$$;
