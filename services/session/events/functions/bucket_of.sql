-- Returns the bucket of a time: the number of its week. A log partition is split into buckets so that old weeks can be
-- dropped.
create or replace function session.bucket_of(p_time timestamptz) returns integer
language sql immutable parallel safe
return floor(extract(epoch from p_time) / 604800)::integer;
