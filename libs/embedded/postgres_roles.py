"""Creates the database and login role on a new Postgres server, and checks whether it answers."""

import asyncio

import psycopg
from psycopg import sql

SUPERUSER = "postgres"
DATABASE = "callboard"
APP_ROLE = "callboard_app"
_CONNECT_SECONDS = 5


async def answers(url: str) -> bool:
    """Return whether the server accepts a connection and runs a statement.

    A thread connects, because an asynchronous connection would stay open if the caller were cancelled at the moment of
    the answer.
    """
    return await asyncio.to_thread(_answers, url)


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def ensure_database(server_url: str, database: str = DATABASE) -> None:
    """Create the database unless it exists. Only its owner and roles with a grant can connect."""
    name = sql.Identifier(database)
    with psycopg.connect(server_url, autocommit=True, connect_timeout=_CONNECT_SECONDS) as connection:
        known = connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone()
        if not known:
            connection.execute(sql.SQL("create database {}").format(name))
        connection.execute(sql.SQL("revoke all on database {} from public").format(name))


def ensure_app_role(admin_url: str, password: str) -> None:
    """Create the login role of the services, or set its password.

    The role inherits nothing. A service uses `set role` to get the rights of its group role, which migrations grant.
    """
    role = sql.Identifier(APP_ROLE)
    with psycopg.connect(admin_url, connect_timeout=_CONNECT_SECONDS) as connection:
        # send the verifier only, so that the password is in no statement or log
        verifier = connection.pgconn.encrypt_password(password.encode(), APP_ROLE.encode(), b"scram-sha-256").decode()
        known = connection.execute("select 1 from pg_roles where rolname = %s", [APP_ROLE]).fetchone()
        verb = sql.SQL("alter" if known else "create")
        rights = "login noinherit nosuperuser nocreatedb nocreaterole nobypassrls"
        statement = sql.SQL("{} role {} " + rights + " password {}")
        connection.execute(statement.format(verb, role, sql.Literal(verifier)))
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("grant connect on database {} to {}").format(database, role))
