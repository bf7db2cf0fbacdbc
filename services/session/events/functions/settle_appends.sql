-- Settles the keys that `append_items` took: the key of an appended item gets its answer, any other key is released.
-- There is mostly one item, for which a loop costs less than a query.
create or replace function session.settle_appends(p_tenant text, p_keys text[], p_taken idempotency.taken[],
                                                  p_codes text[], p_begin integer[], p_end integer[], p_seqs bigint[])
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_keys      text[];
  v_responses text[];
begin
  for v_index in 1 .. cardinality(p_keys) loop
    if (p_taken[v_index]).code = 'taken' then
      v_keys[v_index] := p_keys[v_index];
      v_responses[v_index] := case when p_codes[v_index] = 'ok' then json_build_object(
        'first_seq', p_seqs[p_begin[v_index]], 'last_seq', p_seqs[p_end[v_index]])::text end;
    end if;
  end loop;
  if v_keys is not null then
    perform idempotency.settle(p_tenant, 'append', v_keys, v_responses);
  end if;
end
$$;
