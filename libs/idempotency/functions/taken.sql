-- The result of taking a key: its code, and what is stored with the key.
create type idempotency.taken as (
  code     idempotency.key_code,
  plan     text,
  response text,
  note     jsonb
);
