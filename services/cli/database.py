"""Finds the database, migrates it and creates the development key."""

from collections.abc import Mapping
from pathlib import Path

import psycopg

from libs.identity.admin import connected, restore_key
from libs.identity.keys import new_key
from libs.private_files import create_private
from services.cli.errors import CliError, NewerDatabaseError
from services.cli.home import Home, home_from

DEVELOPMENT_TENANT = "default"
_START_EMPTY = (
    "to start with an empty database, drop the database and create it again, or remove $CALLBOARD_HOME/postgres if "
    "`callboard up` created it"
)


def database_of(environment: Mapping[str, str]) -> str:
    """Return the URL of the database: DATABASE_URL, or that of the `up` on this home. Raises CliError."""
    home = home_from(environment)
    url = environment.get("DATABASE_URL") or Home(home).admin_url()
    if not url:
        raise CliError(
            f"no database: `callboard up` does not run on {home}. "
            "Start it, or set CALLBOARD_HOME to the home it runs on, or DATABASE_URL"
        )
    return url


def migrate(admin_url: str) -> None:
    """Migrate the database to this release's schema. Raises NewerDatabaseError and CliError."""
    from libs.db.migrate import MigrationError, NewerSchemaError, OldSchemaError, upgrade
    from services.cli.schema import schema_sources

    try:
        upgrade(admin_url, schema_sources())
    except NewerSchemaError as error:
        raise NewerDatabaseError(f"{error}: use the newer release, or another CALLBOARD_HOME") from error
    except OldSchemaError as error:
        raise CliError(f"{error}: {_START_EMPTY}") from error
    except MigrationError as error:
        raise CliError(str(error)) from error
    except psycopg.Error as error:
        raise CliError(f"cannot migrate the database: {str(error).strip()}") from error


def ensure_development_key(admin_url: str, path: Path) -> None:
    """Create the key in `path` when there is none, and store it in the database.

    The file is written first: after a crash in between, the next run stores its key. Raises CliError when the file
    holds something else, or a key that was revoked.
    """
    create_private(path, new_key().secret_text)
    path.chmod(0o600)
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    try:
        with connected(admin_url) as connection:
            opens = restore_key(connection, text, DEVELOPMENT_TENANT, "admin", "development")
    except ValueError:
        raise CliError(f"{path} does not contain an API key: move it away, and the next start creates one") from None
    except psycopg.Error as error:
        raise CliError(f"cannot store the development key: {error}") from error
    if not opens:
        raise CliError(f"the key in {path} was revoked: delete the file, and the next start creates a new key")
