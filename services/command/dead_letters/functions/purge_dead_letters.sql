-- Purges the dead letters of these ids in one transaction with the caller's key. With `p_requeued` true or false it
-- takes only dead letters that were requeued, or were not; with null it takes both. The answer is JSON: {purged: [...],
-- more}. Returns 'ok', 'replay' or 'reused'.
--
-- Other statements that change several dead letters (a requeue, the mark that they were published) lock them in another
-- order. So this function never waits while it holds locks. It retries locked dead letters a few times, and then fails
-- as a whole, to be run again.
create or replace function command.purge_dead_letters(p_tenant text, p_key text, p_hash bytea, p_ids uuid[],
                                                      p_requeued boolean, p_more boolean)
returns table (code command.purge_code, answer text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_taken  idempotency.taken;
  v_step   record;
  v_left   uuid[] := p_ids;
  v_purged uuid[] := '{}';
begin
  v_taken := (idempotency.take(p_tenant, 'purge_many', array[p_key], array[p_hash]))[1];
  if v_taken.code <> 'taken' then
    code := v_taken.code;
    answer := v_taken.response;
    return next;
    return;
  end if;
  code := 'ok';
  for v_try in 1 .. 6 loop
    v_step := command.purge_unlocked(p_tenant, v_left, p_requeued);
    v_purged := v_purged || v_step.purged;
    v_left := v_step.remaining;
    exit when v_left is null;
    perform pg_sleep(0.02);
  end loop;
  if v_left is not null then
    raise exception 'dead letters are in use' using errcode = 'lock_not_available';
  end if;
  answer := json_build_object('more', p_more, 'purged', array(
    select i.id from unnest(p_ids) with ordinality as i(id, ord) where i.id = any (v_purged) order by i.ord))::text;
  perform idempotency.finish(p_tenant, 'purge_many', p_key, answer);
  return next;
end
$$;
