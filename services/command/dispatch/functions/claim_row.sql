-- The result of a claim for one command.
create type command.claim_row as (
  id          uuid,
  code        command.claim_code,
  lease_token uuid,
  attempt     integer,
  charged     integer,
  released    integer
);
