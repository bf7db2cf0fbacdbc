-- name: insert
insert into session.agents as a (tenant_id, agent_id, display_name, kind, server, exclusive, labels)
values (%s, %s, %s, %s, %s, %s, %s)
on conflict do nothing
returning $agent(a);

-- name: get
select $agent(a)
from session.agents a where tenant_id = %s and agent_id = %s;

-- name: list
select $agent(a)
from session.agents a where tenant_id = %s and agent_id > %s order by agent_id limit %s;

-- name: update
update session.agents a
set display_name = %(display_name)s, kind = %(kind)s, server = %(server)s, exclusive = %(exclusive)s,
    labels = %(labels)s, version = version + 1, updated_at = clock_timestamp()
where tenant_id = %(tenant)s and agent_id = %(agent_id)s and version = %(version)s
returning $agent(a);

-- name: delete
delete from session.agents a
where a.tenant_id = %(tenant)s and a.agent_id = %(agent_id)s and a.version = %(version)s
  and not exists (select from session.sessions s where s.tenant_id = a.tenant_id and s.agent_id = a.agent_id
                  and s.ended_at is null)
returning a.agent_id;

-- name: lock_log
select session.lock_log(%s, %s::smallint);
