#!/bin/sh
# Runs once, when docker-compose.yml creates its database. Creates the role that services log in as. The role inherits
# nothing; migrations grant it the services' roles.
set -eu
psql --set=ON_ERROR_STOP=1 --set=app_password="$CALLBOARD_APP_PASSWORD" \
  --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
create role callboard_app login noinherit nosuperuser nocreatedb nocreaterole nobypassrls password :'app_password';
revoke all on database callboard from public;
grant connect on database callboard to callboard_app;
SQL
