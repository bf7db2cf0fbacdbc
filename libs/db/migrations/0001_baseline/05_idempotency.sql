-- What a caller's idempotency key was used for, by whatever operation of whatever service. `response` is what it
-- replays, `plan` what an operation of several transactions chose to do (rule 8), `note` what waits for the key's first
-- use. Both texts belong to the operation: nothing else reads them. `hash` is empty until the first use. No index
-- covers a column that finishing a key changes.
create table idempotency.keys (
  tenant_id   text not null,
  method      text not null,
  key         text not null,
  hash        bytea not null,
  state       idempotency.key_state not null,
  lease_until timestamptz,
  plan        text,
  response    text,
  note        jsonb,
  expires_at  timestamptz not null,
  primary key (tenant_id, method, key)
);
create index keys_expiry on idempotency.keys (expires_at);
