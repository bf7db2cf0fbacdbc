create schema command;

create table command.commands (
  tenant_id         text not null,
  command_id        uuid not null,
  part              smallint not null,
  session_uid       uuid not null,
  session_id        text not null,
  agent_id          text not null,
  type              text not null,
  params            text not null,
  correlation_id    text not null,
  requested_by      text not null,
  requeued_from     uuid,
  max_attempts      smallint not null,
  timeout_ms        integer not null,
  backoff_ms        integer not null,
  max_backoff_ms    integer not null,
  priority          smallint not null,
  not_before        timestamptz,
  retry_tool_errors boolean not null,
  ordering_key      text,
  retention_s       integer not null,
  state             text not null check (state in ('scheduled', 'queued', 'running', 'retrying', 'waiting',
                                                   'succeeded', 'failed', 'cancelled')),
  attempt           integer not null default 0,
  charged           integer not null default 0,
  released          integer not null default 0,
  lease_token       uuid,
  runner_id         uuid,
  progress          text,
  result            text,
  error             text,
  cancel_requested_at timestamptz,
  cancel_deadline   timestamptz,
  cancel_reason     text,
  enqueued_at       timestamptz not null,
  started_at        timestamptz,
  finished_at       timestamptz,
  next_attempt_at   timestamptz,
  expires_at        timestamptz,
  primary key (tenant_id, command_id)
) with (fillfactor = 60);
create index commands_expiry on command.commands (expires_at) where expires_at is not null;
-- The predicates are not on `state`: a condition on it would invite the planner to read all open commands of a tenant
-- where it should look one up by its key (measured: 34 million index rows for 9,700 claims).
create index commands_open on command.commands (tenant_id, session_uid) where finished_at is null;
create index commands_running on command.commands (runner_id) where runner_id is not null;
create index commands_of_session on command.commands (tenant_id, session_id, enqueued_at);
create index commands_newest on command.commands (tenant_id, enqueued_at);
create index commands_ordered on command.commands (tenant_id, session_uid, ordering_key, enqueued_at, command_id)
  where ordering_key is not null and finished_at is null;

-- Results above 256 KiB, apart from the rows that are read and written often.
create table command.results (
  tenant_id  text not null,
  command_id uuid not null,
  result     text not null,
  primary key (tenant_id, command_id)
);

-- Outbox and schedule in one (rule 6): a row for each command that waits to be claimed, deleted at the claim.
-- `published_seq` and `epoch` say where its dispatch lies in the stream and `published_to` which runner it went to;
-- `dispatch_after` keeps the dispatcher off rows that their submitter is publishing this moment, and is infinite while
-- the session's agent is not connected.
create table command.ready (
  tenant_id      text not null,
  command_id     uuid not null,
  part           smallint not null,
  session_uid    uuid not null,
  priority       smallint not null,
  available_at   timestamptz not null,
  dispatch_after timestamptz not null,
  dispatch_no    integer not null default 1,
  blocked        boolean not null default false,
  published_seq  bigint,
  published_to   uuid,
  epoch          text,
  primary key (tenant_id, command_id)
);
create index ready_due on command.ready (tenant_id, priority, dispatch_after) where published_seq is null and not blocked;
create index ready_published on command.ready (tenant_id, priority) where published_seq is not null;
-- Led by the session, so that the primary key is the one way to a tenant's command: the table is empty at times, and all
-- ways look the same then.
create index ready_of_session on command.ready (session_uid);

create table command.attempts (
  tenant_id  text not null,
  command_id uuid not null,
  attempt    integer not null,
  runner_id  uuid,
  outcome    text not null,
  charged    boolean not null,
  error      text,
  started_at timestamptz not null,
  ended_at   timestamptz not null,
  primary key (tenant_id, command_id, attempt)
);

create table command.dead_letters (
  tenant_id   text not null,
  command_id  uuid not null,
  agent_id    text not null,
  session_id  text not null,
  type        text not null,
  reason      text not null,
  dead_at     timestamptz not null,
  requeued_as uuid,
  published   boolean not null default false,
  primary key (tenant_id, command_id)
);
create index dead_letters_newest on command.dead_letters (tenant_id, dead_at);
create index dead_letters_unpublished on command.dead_letters (dead_at) where not published;

-- What a key was used for. A key that was cancelled before its submit has no command yet; `cancelled` then says by whom
-- and why, and stays: the command that comes under the key is born cancelled.
create table command.idempotency (
  tenant_id  text not null,
  method     text not null,
  key        text not null,
  hash       bytea not null,
  command_id uuid,
  cancelled  jsonb,
  expires_at timestamptz not null,
  primary key (tenant_id, method, key)
);
create index idempotency_expiry on command.idempotency (expires_at);

-- The wish for a live connection of each live session, and the runner that holds it.
create table command.connections (
  tenant_id     text not null,
  session_uid   uuid not null,
  part          smallint not null,
  session_id    text not null,
  agent_id      text not null,
  kind          text not null,
  server        text not null,
  state         text not null check (state in ('wanted', 'connecting', 'connected', 'closing')),
  runner_id     uuid,
  attempts      integer not null default 0,
  connect_after timestamptz not null default clock_timestamp(),
  kill          boolean not null default false,  -- the runner is to end the agent's processes and connect anew
  created_at    timestamptz not null default clock_timestamp(),
  primary key (tenant_id, session_uid)
);
create index connections_wanted on command.connections (connect_after) where state = 'wanted';
create index connections_closing on command.connections (tenant_id) where state = 'closing';
create index connections_of_runner on command.connections (runner_id) where runner_id is not null;

-- A runner's lease owns all that it runs; a heartbeat touches this row alone (rule 3). Death is final: a runner that
-- was declared dead finds out at its next heartbeat and begins again under another id.
create table command.runners (
  runner_id   uuid primary key,
  name        text not null,
  slots       integer not null,
  started_at  timestamptz not null default clock_timestamp(),
  lease_until timestamptz not null,
  dead_at     timestamptz
) with (fillfactor = 20);
