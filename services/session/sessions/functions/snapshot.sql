-- Returns the current values of the fields of a session that change. An answer stores them, so that a replay is the
-- same.
create or replace function session.snapshot(p_tenant text, p_session_uid uuid) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('state', s.state, 'version', s.version, 'updatedAt', s.updated_at, 'endedAt', s.ended_at,
                            'result', s.result, 'error', s.error, 'lastSeq', h.last_seq)
  from session.sessions s cross join lateral (
    select h.last_seq from session.heads h
    where h.tenant_id = s.tenant_id and h.session_uid = s.session_uid offset 0) h
  where s.tenant_id = p_tenant and s.session_uid = p_session_uid
$$;
