"""Finds the schema files of all libraries and services."""

from pathlib import Path

from libs.db.migrate import SchemaSources

_ROOT = Path(__file__).parents[2]
_OWNERS = (
    "libs/idempotency",
    "services/session/events",
    "services/session/agents",
    "services/session/sessions",
    "services/command/dispatch",
    "services/command/commands",
    "services/command/dead_letters",
)
_GRANTS = ("libs/idempotency", "services/session", "services/command")


def schema_sources() -> SchemaSources:
    """Return the migrations, the folders of SQL functions, and the grants."""
    return SchemaSources(
        migrations=_ROOT / "libs/db/migrations",
        functions=tuple(_ROOT / name / "functions" for name in _OWNERS),
        grants=tuple(_ROOT / name / "grants.sql" for name in _GRANTS),
        afterwards=("select session.make_buckets(4)",),
    )
