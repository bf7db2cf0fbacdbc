"""The tool processes of a run: when one ends, and which are orphans."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.process_faults import tools


class Watched:
    """A process whose end the kernel reports at once, whichever parent it has."""

    def __init__(self, pid: int) -> None:
        """Watch a process. Raises ProcessLookupError if it does not exist."""
        self._descriptor = os.pidfd_open(pid)
        self._end: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._descriptor, self._on_end)

    async def ended(self, ends: float) -> float | None:
        """Return when it ended by the loop's clock, or None if it still runs at `ends`. Call this once."""
        try:
            async with asyncio.timeout_at(ends):
                return await self._end
        except TimeoutError:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            return None
        finally:
            os.close(self._descriptor)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._end.set_result(asyncio.get_running_loop().time())


def orphans(out: Path, runners: Iterable[int]) -> list[int]:
    """Return the tool processes of a run whose parent is neither a runner nor a tool process."""
    found = tools(out)
    keepers = {*found, *runners}
    return [pid for pid in found if (parent := _parent(pid)) is not None and parent not in keepers]


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
