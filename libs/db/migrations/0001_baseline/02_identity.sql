-- API keys. Only the SHA-256 of a key is stored, so a dump of this table cannot be used to authenticate.
create table identity.api_keys (
  tenant_id  text not null,
  key_id     text not null,
  key_hash   bytea not null,
  role       text not null check (role in ('viewer', 'operator', 'admin')),
  name       text not null default '',
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  primary key (tenant_id, key_id)
);
create unique index api_keys_by_hash on identity.api_keys (key_hash);
create unique index api_keys_by_id on identity.api_keys (key_id);

grant select on identity.api_keys to callboard_session, callboard_command;
