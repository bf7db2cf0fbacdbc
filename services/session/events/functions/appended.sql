-- The result of an append. `notification` holds the events as lines, for the live tail; it is null when they are too
-- large to travel.
create type session.appended as (
  first_position bigint,
  last_position  bigint,
  seqs           bigint[],
  notification   text
);
