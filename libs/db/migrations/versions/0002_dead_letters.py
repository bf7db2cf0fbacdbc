"""Dead letters: found by every filter, requeued and purged by the thousand.

Revision ID: 0002
"""

from libs.db.migrations.scripts import run_scripts

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the scripts of this revision in order."""
    run_scripts(revision)
