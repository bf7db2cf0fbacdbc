-- The result of an append. `notification` holds the events as lines, for the live tail. It is null when they are too
-- large for a notification.
create type session.appended as (
  first_position bigint,
  last_position  bigint,
  seqs           bigint[],
  notification   text
);
