-- Takes the keys of a batch's items in the order of the keys, so that two batches never deadlock (rule 3). Returns the
-- result of `take_key` for each item, null for an item without a key.
create or replace function session.take_keys(p_tenant text, p_method text, p_items jsonb)
returns text[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_codes text[] := array_fill(null::text, array[jsonb_array_length(p_items)]);
  v_item  jsonb;
  v_index integer;
begin
  for v_item, v_index in
    select e.value, e.ordinality::integer from jsonb_array_elements(p_items) with ordinality as e
    where e.value ->> 'key' is not null order by e.value ->> 'key'
  loop
    v_codes[v_index] := session.take_key(p_tenant, p_method, v_item ->> 'key', decode(v_item ->> 'hash', 'hex'));
  end loop;
  return v_codes;
end
$$;
