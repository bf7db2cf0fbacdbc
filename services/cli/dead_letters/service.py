"""The command service, as `callboard dlq` reaches it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc

from callboard import CallboardError
from libs.rpc.stubs import Stubs
from services.cli.errors import RefusedError, SettingError, UnreachableError
from services.cli.home import Home
from services.cli.settings import LOOPBACK, home_from

SECONDS = 60.0
"""How long one call may take."""
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def address_of(environment: Mapping[str, str]) -> str:
    """Returns where the command service is: CALLBOARD_COMMAND_ADDRESS, else that of the `up` on this home."""
    given = environment.get("CALLBOARD_COMMAND_ADDRESS", "").strip()
    told = Home(home_from(environment)).endpoints().get("command")
    return given or (
        told if isinstance(told, str) else f"{LOOPBACK}:{environment.get('CALLBOARD_COMMAND_PORT') or 7402}"
    )


def key_of(environment: Mapping[str, str]) -> str:
    """Returns the key to call with: CALLBOARD_KEY, else the development key of the home. Raises RefusedError."""
    key = environment.get("CALLBOARD_KEY", "").strip()
    if key:
        if not (key.isascii() and key.isprintable()):
            raise SettingError("CALLBOARD_KEY", "is no key: it holds characters that no key has")
        return key
    path = Home(home_from(environment)).dev_key
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise RefusedError(
            f"no key: set CALLBOARD_KEY, or CALLBOARD_HOME to a home that `callboard up` ran on (there is no {path})"
        ) from None


@asynccontextmanager
async def reached(environment: Mapping[str, str]) -> AsyncIterator[Stubs]:
    """Lends a client; what goes wrong with its calls is raised as RefusedError."""
    address = address_of(environment)
    async with Stubs(address, address, key_of(environment)) as client:
        try:
            yield client
        except CallboardError as error:
            raise _refused(error, address) from error


def _refused(error: CallboardError, address: str) -> RefusedError:
    if error.reason:
        where = "".join(f"\n  {one.field}: {one.rule}" for one in error.violations[1:])
        return RefusedError(f"{error.reason}: {error.message}{where}")
    if error.code in _AWAY:
        return UnreachableError(
            f"no command service answers at {address}. Start `callboard up`, or set CALLBOARD_COMMAND_ADDRESS"
        )
    return RefusedError(f"{error.code.name}: {error.message}")
