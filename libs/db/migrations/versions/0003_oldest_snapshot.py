"""How long the oldest snapshot has been held, for an alarm.

Revision ID: 0003
"""

from libs.db.migrations.scripts import run_scripts

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the scripts of this revision in order."""
    run_scripts(revision)
