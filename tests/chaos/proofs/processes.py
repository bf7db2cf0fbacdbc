"""The tool processes of a run: when one is gone, and which have nobody that looks after them."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.process_faults import tools


class Watched:
    """A process whose end the kernel tells of, at once, whoever its parent is."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when there is none of this id."""
        self._descriptor = os.pidfd_open(pid)
        self._gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._descriptor, self._ended)

    async def gone(self, ends: float) -> float | None:
        """Returns when it ended, by the loop's clock; None when it still runs at `ends`. To be asked once."""
        try:
            async with asyncio.timeout_at(ends):
                return await self._gone
        except TimeoutError:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            return None
        finally:
            os.close(self._descriptor)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._gone.set_result(asyncio.get_running_loop().time())


def orphans(out: Path, runners: Iterable[int]) -> list[int]:
    """The tool processes of a run whose parent is neither one of the runners nor a tool process."""
    found = tools(out)
    keepers = {*found, *runners}
    return [pid for pid in found if (parent := _parent(pid)) is not None and parent not in keepers]


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
