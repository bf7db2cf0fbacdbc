-- Creates the tables of the weeks up to `p_ahead` weeks from now, and returns how many it created. Each table has its
-- own trigger against TRUNCATE, because a row trigger does not fire for it (rule 12).
create or replace function session.make_buckets(p_ahead integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now integer := session.bucket_of(clock_timestamp());
  v_made integer := 0;
  v_name text;
begin
  perform pg_advisory_xact_lock(hashtext('callboard.make_buckets'));
  for v_bucket in v_now .. v_now + p_ahead loop
    v_name := format('events_standard_%s', v_bucket);
    if to_regclass('session.' || v_name) is null then
      execute format('create table session.%I partition of session.events_standard for values from (%s) to (%s)',
                     v_name, v_bucket, v_bucket + 1);
      execute format('create trigger reject_truncate before truncate on session.%I '
                     'for each statement execute function session.reject_change()', v_name);
      v_made := v_made + 1;
    end if;
  end loop;
  return v_made;
end
$$;
