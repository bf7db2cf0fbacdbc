"""Brings a database to the schema of this release: numbered migrations, then the functions that changed."""

from libs.db.migrate.errors import (
    ChangedSignatureError,
    EditedMigrationError,
    LockedSchemaError,
    MigrationError,
    NewerSchemaError,
    OldSchemaError,
    SourceError,
)
from libs.db.migrate.patience import LockPatience
from libs.db.migrate.sources import SchemaSources
from libs.db.migrate.upgrade import upgrade

__all__ = [
    "ChangedSignatureError",
    "EditedMigrationError",
    "LockPatience",
    "LockedSchemaError",
    "MigrationError",
    "NewerSchemaError",
    "OldSchemaError",
    "SchemaSources",
    "SourceError",
    "upgrade",
]
