"""The proofs by name, with their full sizes."""

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from tests.chaos.proofs import cancels, kills, pauses, wipes
from tests.chaos.proofs.figures import Figure

Proof = Callable[[Path, int, int], Coroutine[Any, Any, list[Figure]]]
"""Takes the folder for the run, the number of repetitions and the seed. Returns the measured figures."""

PROOFS: Mapping[str, tuple[Proof, int]] = {
    "pauses": (pauses.run, pauses.PAUSES),
    "kills": (kills.run, kills.KILLS),
    "wipes": (wipes.run, wipes.WIPES),
    "cancels": (cancels.run, cancels.CANCELS),
}
