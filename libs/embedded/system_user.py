"""The user that an engine runs as. Postgres does not run as root, so root runs it as `nobody`."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from libs.embedded.errors import EngineError


@dataclass(frozen=True)
class SystemUser:
    """A user and group of the operating system."""

    user_id: int
    group_id: int

    @classmethod
    def unprivileged(cls) -> Self | None:
        """Return `nobody` if we are root, or None to stay the current user.

        Raises EngineError if the system has no such user.
        """
        if os.geteuid() != 0:
            return None
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise EngineError("Postgres refuses to run as root, and this system has no user `nobody`") from None
        return cls(nobody.pw_uid, nobody.pw_gid)

    def reaches(self, path: Path) -> bool:
        """Return whether this user can traverse the path and all folders above it."""
        real = path.resolve()
        return all(self._may(folder, stat.S_IXUSR) for folder in (*reversed(real.parents), real))

    def _may(self, path: Path, wanted: int) -> bool:
        status = path.stat()
        if status.st_uid == self.user_id:
            shift = 0
        elif status.st_gid == self.group_id:
            shift = 3
        else:
            shift = 6
        return bool(status.st_mode & (wanted >> shift))
