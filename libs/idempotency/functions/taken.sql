-- What became of a key that a call wants to use: its code, and what is stored with it.
create type idempotency.taken as (
  code     idempotency.key_code,
  plan     text,
  response text,
  note     jsonb
);
