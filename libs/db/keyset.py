"""Pages that go on after a keyset: the time and the id of the last row before."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa


def keyset(after: Mapping[str, Any], id_name: str = "id") -> sa.Tuple:
    """Return the keyset of a page token as a row to compare with; it has the time as `at`."""
    return sa.tuple_(
        sa.cast(after["at"], sa.TIMESTAMP(timezone=True)), sa.cast(after[id_name], sa.UUID(as_uuid=False))
    )  # fmt: skip
