-- Creates a tenant and its 16 log partitions, unless they exist.
create or replace function session.ensure_tenant(p_tenant text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_bucket integer := session.bucket_of(clock_timestamp());
begin
  insert into session.tenants (tenant_id) values (p_tenant) on conflict do nothing;
  insert into session.log (tenant_id, partition, bucket)
    select p_tenant, p, v_bucket from generate_series(0, 15) as p on conflict do nothing;
  insert into session.segments (tenant_id, partition, bucket, first_position)
    select l.tenant_id, l.partition, l.bucket, 1 from session.log l
    where l.tenant_id = p_tenant and l.position = 0 on conflict do nothing;
end
$$;
