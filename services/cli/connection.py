"""Connects the command line to a service: address, key, and errors."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import grpc
from google.protobuf.message import Message

from callboard.channel import bearer, channel_options
from callboard.failure import CallboardError
from libs.contract import Method
from libs.contract.paths import in_rest_words
from libs.errors import FieldViolation, Reason, ServiceError
from services.cli.defaults import DEFAULT_PORTS, LOOPBACK
from services.cli.errors import CliError, SettingError, UnreachableError
from services.cli.home import Home, home_from


class ServiceName(StrEnum):
    """A service that the command line calls."""

    SESSION = "session"
    COMMAND = "command"


def address_of(environment: Mapping[str, str], service: ServiceName) -> str:
    """Return a service's address: CALLBOARD_<SERVICE>_ADDRESS, that of the `up` on this home, or the default."""
    given = environment.get(f"CALLBOARD_{service.upper()}_ADDRESS", "").strip()
    written = Home(home_from(environment)).endpoints().get(service)
    variable = f"CALLBOARD_{service.upper()}_PORT"
    default = f"{LOOPBACK}:{environment.get(variable) or DEFAULT_PORTS[variable]}"
    return given or (written if isinstance(written, str) else default)


def key_of(environment: Mapping[str, str]) -> str:
    """Return the caller's key: CALLBOARD_KEY, or the home's development key. Raises CliError."""
    key = environment.get("CALLBOARD_KEY", "").strip()
    if key:
        if not (key.isascii() and key.isprintable()):
            raise SettingError("CALLBOARD_KEY", "is not an API key: it contains invalid characters")
        return key
    path = Home(home_from(environment)).dev_key
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise CliError(
            f"no key: set CALLBOARD_KEY, or CALLBOARD_HOME to a home that `callboard up` ran on (there is no {path})"
        ) from None
    if not key.isprintable():
        raise CliError(f"{path} does not contain an API key: it contains invalid characters")
    return key


class ServiceConnection:
    """A connection to a service. Failed calls raise CliError, which names fields as REST does."""

    def __init__(self, channel: grpc.aio.Channel, service: ServiceName, address: str, key: str | None) -> None:
        self._channel = channel
        self._service = service
        self._address = address
        self._metadata = bearer(key) if key is not None else ()

    async def call(self, method: Method, request: Message, seconds: float) -> Any:
        """Call a unary method."""
        call = self._channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            return await call(request, timeout=seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._error_of(error, method, seconds) from error

    async def stream(self, method: Method, request: Message, seconds: float | None) -> AsyncGenerator[Any, None]:
        """Call a streaming method. The stream ends without an error after `seconds`."""
        start = self._channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        call = start(request, timeout=seconds, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and self._is_up():
                return
            raise self._error_of(error, method, seconds) from error
        finally:
            call.cancel()  # gRPC does not cancel a call that is only dropped (grpc#43462)

    def _is_up(self) -> bool:
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    def _error_of(self, error: grpc.aio.AioRpcError, method: Method, seconds: float | None) -> CliError:
        failure = CallboardError.of(error)
        if failure.reason in Reason.__members__:
            violations = [FieldViolation(one.field, one.rule) for one in failure.violations]
            own = ServiceError(Reason(failure.reason), failure.message, violations=violations)
            return CliError(text_of(in_rest_words(own, method.descriptor.input_type, body=method.limits.body)))
        if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return UnreachableError(
                f"the {self._service} service at {self._address} did not answer within {seconds:g} s"
            )
        if failure.code is grpc.StatusCode.UNAVAILABLE:
            return UnreachableError(
                f"no {self._service} service answers at {self._address}. "
                f"Start `callboard up`, or set CALLBOARD_{self._service.upper()}_ADDRESS"
            )
        return CliError(f"{failure.reason or failure.code.name}: {failure.message}")


@asynccontextmanager
async def connect(
    environment: Mapping[str, str], service: ServiceName, key: str | None
) -> AsyncIterator[ServiceConnection]:
    """Open a connection to a service. Nothing is sent before the first call."""
    address = address_of(environment, service)
    async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
        yield ServiceConnection(channel, service, address, key)


def text_of(error: ServiceError) -> str:
    """Return an error as text: its reason and message, then its fields. The message already names the first field."""
    others = "".join(f"\n  {one.field}: {one.rule}" for one in error.violations[1:])
    return f"{error.reason}: {error.message}{others}"
