-- Stores the answer of a stop under its own key and under the keys of the stops that joined it.
create or replace function session.finish_stop_keys(p_tenant text, p_closing jsonb, p_step session.stop_step)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform idempotency.finish(p_tenant, k.method, k.key, json_build_object(
      'uid', p_step.session_uid, 'snapshot', p_step.snapshot, 'next_uid', p_step.next_uid,
      'next_snapshot', p_step.next_snapshot)::text)
    from jsonb_to_recordset(coalesce(p_closing -> 'joined', '[]') || p_closing) as k(method text, key text)
    where k.key is not null;
end
$$;
