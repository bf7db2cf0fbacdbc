"""What a key answers of a forgotten command, and no next attempt of a dead one.

Revision ID: 0004
"""

from libs.db.migrations.scripts import run_scripts

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the scripts of this revision in order."""
    run_scripts(revision)
