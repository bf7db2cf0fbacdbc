-- The answer of an item of `start`, after the append: with the snapshot of its session, or, for a replay, what its key
-- stored.
create or replace function session.answer_start(
  p_tenant text, p_response text, inout code text, inout session_uid uuid, out snapshot jsonb
) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if code = 'replay' then
    select a.code, a.uid, a.snapshot into code, session_uid, snapshot
      from json_to_record(p_response::json) as a(code text, uid uuid, snapshot jsonb);
  elsif code in ('created', 'existing') then
    snapshot := session.snapshot(p_tenant, session_uid);
  end if;
end
$$;
