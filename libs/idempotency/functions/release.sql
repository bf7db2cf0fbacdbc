-- Gives keys back without a response: the caller may try again with them. `p_state` is the state in which the call took
-- them. A key with a plan keeps it, and its lease is over; one that carries a note waits for its first use again.
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
