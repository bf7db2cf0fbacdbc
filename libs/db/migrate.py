"""Bring a database to this version's schema, or refuse when a newer version wrote it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text

_LOCK = 0x43414C4C  # one migration at a time, whoever starts it


class NewerSchemaError(Exception):
    """The database was written by a newer version of Callboard; this one must not touch it."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(f"the database is at schema version {found}, and this Callboard knows none later than {known}")
        self.found = found
        self.known = known


def upgrade(url: str) -> None:
    """Migrate the database at `url` (`postgresql://...`) to the newest schema; does nothing when it is there.

    Safe to call from several processes at once. Raises `NewerSchemaError`.
    """
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
            connection.commit()
            _upgrade(connection)
            connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection, opts={"version_table": "schema_version"}).get_current_revision()
    connection.commit()
    newest = scripts.get_current_head() or ""
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise NewerSchemaError(found, newest)
    command.upgrade(config, "head")
    connection.execute(text("select session.make_buckets(4)"))
    connection.commit()
