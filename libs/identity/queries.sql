-- name: find
select tenant_id, key_id, key_hash, role, expires_at, revoked_at is not null as revoked
from identity.api_keys
where key_hash = %s;

-- name: insert
insert into identity.api_keys (tenant_id, key_id, key_hash, role, name)
values (%s, %s, %s, %s, %s)
on conflict do nothing;

-- name: all
select tenant_id, key_id, role, name, created_at, expires_at, revoked_at
from identity.api_keys
order by tenant_id, created_at, key_id;

-- name: revoke
update identity.api_keys set revoked_at = now() where key_id = %s and revoked_at is null;

-- name: known
select from identity.api_keys where key_id = %s;

-- name: valid
select from identity.api_keys
where key_hash = %s and revoked_at is null and (expires_at is null or expires_at > now());

-- name: ensure_tenant
select session.ensure_tenant(%s);
