-- What dead letters are found by. Filters meet one table, so the correlation id, which a command never changes, is
-- copied from it. A trigger does so, because the functions that bury a command are older than the column.
alter table command.dead_letters add column correlation_id text not null default '';

create function command.copy_correlation() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  select c.correlation_id into new.correlation_id from command.commands c
    where c.tenant_id = new.tenant_id and c.command_id = new.command_id;
  new.correlation_id := coalesce(new.correlation_id, '');
  return new;
end
$$;
revoke execute on function command.copy_correlation from public;

update command.dead_letters l set correlation_id = c.correlation_id
  from command.commands c where c.tenant_id = l.tenant_id and c.command_id = l.command_id;

create trigger dead_letters_correlation before insert on command.dead_letters
  for each row execute function command.copy_correlation();

-- Each filter by itself is read in the order of the list. None ends with the command's id: to look one letter up, the
-- primary key has to be the one way that the planner sees.
create index dead_letters_of_agent on command.dead_letters (tenant_id, agent_id, dead_at);
create index dead_letters_of_session on command.dead_letters (tenant_id, session_id, dead_at);
create index dead_letters_of_type on command.dead_letters (tenant_id, type, dead_at);
create index dead_letters_of_reason on command.dead_letters (tenant_id, reason, dead_at);
create index dead_letters_of_correlation on command.dead_letters (tenant_id, correlation_id, dead_at);
-- What requeue and purge by filter read from its old end, where most may have been requeued long ago.
create index dead_letters_not_requeued on command.dead_letters (tenant_id, dead_at) where requeued_as is null;
