-- How a runner runs a command: the options that SQL stores and never reads. A migration adds an attribute, and no
-- function changes.
create type command.run_options as (
  timeout_ms        integer,
  backoff_ms        integer,
  max_backoff_ms    integer,
  retry_tool_errors boolean
);

create table command.commands (
  tenant_id           text not null,
  command_id          uuid not null,
  partition           smallint not null,
  session_uid         uuid not null,
  session_id          text not null,
  agent_id            text not null,
  type                text not null,
  params              text not null,
  correlation_id      text not null,
  requested_by        text not null,
  requeued_from       uuid,
  max_attempts        smallint not null,
  options             command.run_options not null,
  priority            smallint not null,
  not_before          timestamptz,
  ordering_key        text,
  retention_s         integer not null,
  state               command.command_state not null,
  attempt             integer not null default 0,
  charged             integer not null default 0,
  released            integer not null default 0,
  lease_token         uuid,
  runner_id           uuid,
  progress            text,
  result              text,
  error               text,
  cancel_requested_at timestamptz,
  cancel_deadline     timestamptz,
  cancel_reason       text,
  enqueued_at         timestamptz not null,
  started_at          timestamptz,
  finished_at         timestamptz,
  next_attempt_at     timestamptz,
  expires_at          timestamptz,
  primary key (tenant_id, command_id)
) with (fillfactor = 60);
create index commands_expiry on command.commands (expires_at) where expires_at is not null;
-- The predicates are not on `state`: the planner would then read all open commands of a tenant instead of looking one
-- up by its key (measured: 34 million index rows for 9,700 claims).
create index commands_open on command.commands (tenant_id, session_uid) where finished_at is null;
create index commands_running on command.commands (runner_id) where runner_id is not null;
create index commands_of_session on command.commands (tenant_id, session_id, enqueued_at);
create index commands_newest on command.commands (tenant_id, enqueued_at);
create index commands_ordered on command.commands (tenant_id, session_uid, ordering_key, enqueued_at, command_id)
  where ordering_key is not null and finished_at is null;

-- Results above 256 KiB, kept apart from the rows that are read and written often.
create table command.results (
  tenant_id  text not null,
  command_id uuid not null,
  result     text not null,
  primary key (tenant_id, command_id)
);

-- Outbox and schedule in one (rule 6): a row for each command that waits to be claimed. The claim deletes it.
-- `published_seq` and `epoch` locate its dispatch in the stream; `published_to` is the runner that it went to. Until
-- `dispatch_after`, the dispatcher leaves the row to the submit that is about to publish it. It is infinite while the
-- session's agent is not connected.
create table command.ready (
  tenant_id      text not null,
  command_id     uuid not null,
  partition      smallint not null,
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
create index ready_due on command.ready (tenant_id, priority, dispatch_after)
  where published_seq is null and not blocked;
create index ready_published on command.ready (tenant_id, priority) where published_seq is not null;
-- It begins with the session and not with the tenant. Otherwise the planner might use it to look up a command: while
-- the table is empty, all indexes look equally good.
create index ready_of_session on command.ready (session_uid);

create table command.attempts (
  tenant_id  text not null,
  command_id uuid not null,
  attempt    integer not null,
  runner_id  uuid,
  outcome    command.outcome not null,
  charged    boolean not null,
  error      text,
  started_at timestamptz not null,
  ended_at   timestamptz not null,
  primary key (tenant_id, command_id, attempt)
);

create table command.dead_letters (
  tenant_id      text not null,
  command_id     uuid not null,
  agent_id       text not null,
  session_id     text not null,
  type           text not null,
  correlation_id text not null default '',
  reason         text not null,
  dead_at        timestamptz not null,
  requeued_as    uuid,
  published      boolean not null default false,
  primary key (tenant_id, command_id)
);
create index dead_letters_newest on command.dead_letters (tenant_id, dead_at);
create index dead_letters_unpublished on command.dead_letters (dead_at) where not published;
-- A list with one filter reads that filter's index, in the order of the list. No index ends with the command's id, so
-- that the planner looks up one dead letter by the primary key only.
create index dead_letters_of_agent on command.dead_letters (tenant_id, agent_id, dead_at);
create index dead_letters_of_session on command.dead_letters (tenant_id, session_id, dead_at);
create index dead_letters_of_type on command.dead_letters (tenant_id, type, dead_at);
create index dead_letters_of_reason on command.dead_letters (tenant_id, reason, dead_at);
create index dead_letters_of_correlation on command.dead_letters (tenant_id, correlation_id, dead_at);
-- Requeue and purge by filter read this from its old end. Most of the old dead letters may have been requeued.
create index dead_letters_not_requeued on command.dead_letters (tenant_id, dead_at) where requeued_as is null;

-- One row for each session that needs a connection to its agent, and the runner that holds the connection.
create table command.connections (
  tenant_id     text not null,
  session_uid   uuid not null,
  partition     smallint not null,
  session_id    text not null,
  agent_id      text not null,
  kind          text not null,
  server        text not null,
  state         command.connection_state not null,
  runner_id     uuid,
  attempts      integer not null default 0,
  connect_after timestamptz not null default clock_timestamp(),
  kill          boolean not null default false,  -- the runner must end the agent's processes and connect again
  created_at    timestamptz not null default clock_timestamp(),
  primary key (tenant_id, session_uid)
);
create index connections_wanted on command.connections (connect_after) where state = 'wanted';
create index connections_closing on command.connections (tenant_id) where state = 'closing';
create index connections_of_runner on command.connections (runner_id) where runner_id is not null;

-- A runner's lease covers everything that it runs, so a heartbeat updates only this row (rule 3). Death is final: a
-- runner that was declared dead finds out at its next heartbeat and starts again under another id.
create table command.runners (
  runner_id   uuid primary key,
  name        text not null,
  slots       integer not null,
  started_at  timestamptz not null default clock_timestamp(),
  lease_until timestamptz not null,
  dead_at     timestamptz
) with (fillfactor = 20);

grant select, insert, update, delete on all tables in schema command to callboard_command;
