create table session.tenants (
  tenant_id  text primary key check (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  created_at timestamptz not null default clock_timestamp()
);

-- One row for each tenant and log partition. The lock on it orders everything that is appended to the partition
-- (concurrency, rules 1 and 3). `head` is the newest link of the partition's hash chain.
create table session.log (
  tenant_id       text not null,
  partition       smallint not null,
  position        bigint not null default 0,
  bucket          integer not null,
  incarnation     integer not null default 1,
  retention_class smallint not null default 0,
  head            bytea not null default '\x',
  primary key (tenant_id, partition)
) with (fillfactor = 10);

-- The first position of each bucket (week) of a partition, so that every read can name the buckets it needs (rule 9).
create table session.segments (
  tenant_id      text not null,
  partition      smallint not null,
  bucket         integer not null,
  first_position bigint not null,
  primary key (tenant_id, partition, bucket)
);

create table session.agents (
  tenant_id    text not null,
  agent_id     text not null,
  display_name text not null,
  kind         text not null,
  server       text not null,
  exclusive    boolean not null,
  labels       jsonb not null,
  version      bigint not null default 1,
  created_at   timestamptz not null default clock_timestamp(),
  updated_at   timestamptz not null default clock_timestamp(),
  primary key (tenant_id, agent_id)
);

create table session.sessions (
  tenant_id      text not null,
  session_uid    uuid not null,
  session_id     text not null,
  agent_id       text not null,
  partition      smallint not null,
  exclusive      boolean not null,
  state          session.session_state not null,
  session_type   text not null,
  mode           text not null,
  title          text not null,
  task           text not null,
  task_id        text not null,
  workspace      text not null,
  user_id        text not null,
  channel_id     text not null,
  resource_id    text not null,
  labels         jsonb not null,
  context        text not null,
  metadata       text not null,
  restart_count  integer not null,
  restarted_from text not null,
  created_by     text not null,
  version        bigint not null default 1,
  result         text,
  error          jsonb,
  closing        jsonb,
  created_at     timestamptz not null,
  updated_at     timestamptz not null,
  started_at     timestamptz,
  ended_at       timestamptz,
  primary key (tenant_id, session_uid),
  constraint sessions_end_when_final check ((ended_at is null) = session.is_live(state))
);
create unique index sessions_by_id on session.sessions (tenant_id, session_id);
-- A session is live until it has ended.
create unique index sessions_live on session.sessions (tenant_id, agent_id)
  where exclusive and ended_at is null;
create index sessions_live_all on session.sessions (tenant_id, agent_id)
  where ended_at is null;
create index sessions_stopping on session.sessions (updated_at) where state = 'stopping';
create index sessions_newest on session.sessions (tenant_id, created_at);
create index sessions_of_agent on session.sessions (tenant_id, agent_id, created_at);
create index sessions_of_task on session.sessions (tenant_id, task_id);

-- The part of a session that changes often: an append updates this row and not the session (rule 13).
create table session.heads (
  tenant_id    text not null,
  session_uid  uuid not null,
  partition    smallint not null,
  session_id   text not null,
  agent_id     text not null,
  state        session.session_state not null,
  last_seq     bigint not null default 0,
  first_bucket integer not null,
  primary key (tenant_id, session_uid)
) with (fillfactor = 50);

-- The work stream, partitioned by retention class, then by bucket. `link` is set on the last event of each batch: it is
-- the hash of the batch and the previous link.
create table session.events (
  tenant_id       text not null,
  partition       smallint not null,
  position        bigint not null,
  bucket          integer not null,
  retention_class smallint not null,
  session_uid     uuid not null,
  seq             bigint not null,
  event_id        uuid not null,
  type            text not null,
  level           smallint not null,
  session_id      text not null,
  agent_id        text not null,
  command_id      uuid,
  correlation_id  text not null,
  actor           text not null,
  address         text not null,
  payload         text not null,
  created_at      timestamptz not null,
  link            bytea,
  primary key (tenant_id, partition, position, bucket, retention_class),
  unique (tenant_id, session_uid, seq, bucket, retention_class)
) partition by list (retention_class);
create table session.events_standard partition of session.events for values in (0) partition by range (bucket);

create trigger events_append_only before update or delete on session.events
  for each row execute function session.reject_change();

grant select on all tables in schema session to callboard_session;
grant insert, update, delete on session.agents to callboard_session;
