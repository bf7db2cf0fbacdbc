"""The foundation: roles, keys, sessions with their log, commands.

Revision ID: 0001
"""

from libs.db.migrations.scripts import run_scripts

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the scripts of this revision in order."""
    run_scripts(revision)
