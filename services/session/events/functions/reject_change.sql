-- The trigger function of events and their partitions: events are append-only (rule 12).
create or replace function session.reject_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are append-only' using errcode = 'restrict_violation';
end
$$;
