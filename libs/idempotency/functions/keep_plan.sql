-- Stores the plan of a leased key and returns the plan that is stored. The first plan is kept.
create or replace function idempotency.keep_plan(p_tenant text, p_method text, p_key text, p_plan text)
returns text language sql security definer set search_path = pg_catalog, pg_temp as $$
  update idempotency.keys k set plan = coalesce(k.plan, p_plan)
    where k.tenant_id = p_tenant and k.method = p_method and k.key = p_key
    returning k.plan
$$;
