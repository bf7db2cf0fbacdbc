"""Run a revision's SQL scripts, in the order of their names."""

from pathlib import Path

from alembic import op

_FOLDER = Path(__file__).parent / "sql"


def run_scripts(revision: str) -> None:
    """Run all scripts of `revision` in the migration's transaction."""
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations need a live connection")
    for script in sorted((_FOLDER / revision).glob("*.sql")):
        # Straight to the driver: SQL scripts are full of colons and percent signs that are not parameters.
        driver.execute(script.read_text(encoding="utf-8"))
