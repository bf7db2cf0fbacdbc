-- Returns the answers of `append_items`: a replay has those that its key stored. Plain SQL without settings, so that
-- the planner inlines it.
create or replace function session.answer_appends(p_taken idempotency.taken[], p_codes text[], p_states text[],
                                                  p_begin integer[], p_end integer[], p_seqs bigint[])
returns table (ord integer, code session.append_code, first_seq bigint, last_seq bigint, detail text)
language sql stable as $$
  select i.ord::integer - 1, case when i.code = 'replay' then 'ok' else i.code end,
         coalesce(a.first_seq, p_seqs[p_begin[i.ord]]), coalesce(a.last_seq, p_seqs[p_end[i.ord]]),
         case when i.code = 'not_active' then p_states[i.ord] end
  from unnest(p_codes) with ordinality as i(code, ord)
  left join lateral json_to_record(case when i.code = 'replay' then (p_taken[i.ord]).response::json end)
    as a(first_seq bigint, last_seq bigint) on true
  order by i.ord
$$;
