"""The files that make up the schema of the whole suite, service by service."""

from pathlib import Path

from libs.db.migrate import SchemaSources

_ROOT = Path(__file__).parents[2]
_SLICES = (
    "session/events",
    "session/agents",
    "session/sessions",
    "command/dispatch",
    "command/commands",
    "command/dead_letters",
)


def schema_sources() -> SchemaSources:
    """Return the migrations, the folders of functions of every slice, and the grants of both services."""
    services = _ROOT / "services"
    return SchemaSources(
        migrations=_ROOT / "libs/db/migrations",
        functions=tuple(services / name / "functions" for name in _SLICES),
        grants=(services / "session/grants.sql", services / "command/grants.sql"),
        afterwards=("select session.make_buckets(4)",),
    )
