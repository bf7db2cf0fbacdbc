"""Runs `callboard call`."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import typer
from google.protobuf.message import Message

from libs.contract import Method, all_methods
from services.cli.arguments import read_bytes, read_duration
from services.cli.calls.description import describe, summarize
from services.cli.calls.methods import choose_service, find, needs_key
from services.cli.calls.pipes import run_while_read
from services.cli.calls.requests import read_request
from services.cli.connection import ServiceName, connect, key_of
from services.cli.errors import UsageError
from services.cli.json_output import print_json

_SECONDS = 60.0
"""The default time limit of a call. A stream has none."""


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """The options of a call, as typed. Empty means not given."""

    request_id: str = ""
    timeout: str = ""
    service: str = ""
    pretty: bool | None = None


@dataclass(frozen=True, kw_only=True)
class PreparedCall:
    """A call whose request has been read and checked. `seconds` is its time limit, None for no limit."""

    method: Method
    service: ServiceName
    request: Message
    key: str | None
    seconds: float | None
    indent: bool


def list_methods() -> None:
    """Print all methods, a line for each."""
    for line in summarize(all_methods()):
        typer.echo(line)


def describe_method(name: str) -> None:
    """Print the fields of a method's request and response."""
    for line in describe(find(name)):
        typer.echo(line)


def call_method(environment: Mapping[str, str], name: str, request: str, options: CallOptions) -> None:
    """Call a method and print its responses. Ctrl-C ends a stream without an error."""
    call = prepare(environment, name, request, options)
    try:
        asyncio.run(run_while_read(_print(environment, call)))
    except KeyboardInterrupt:
        if not call.method.is_stream:
            raise


def prepare(environment: Mapping[str, str], name: str, request: str, options: CallOptions) -> PreparedCall:
    """Read and check a call. Raises UsageError, and CliError if there is no key."""
    method = find(name)
    return PreparedCall(
        method=method,
        service=choose_service(method, options.service),
        request=read_request(method, read_bytes("REQUEST", request), options.request_id),
        key=key_of(environment) if needs_key(method) else None,
        seconds=_seconds(options.timeout) if options.timeout else None if method.is_stream else _SECONDS,
        indent=not method.is_stream if options.pretty is None else options.pretty,
    )


async def responses_of(environment: Mapping[str, str], call: PreparedCall) -> AsyncGenerator[Message, None]:
    """Call the service and yield its responses as they arrive."""
    async with connect(environment, call.service, call.key) as service:
        if call.method.is_stream:
            async with aclosing(service.stream(call.method, call.request, call.seconds)) as responses:
                async for response in responses:
                    yield response
        else:
            yield await service.call(call.method, call.request, call.seconds or _SECONDS)


async def _print(environment: Mapping[str, str], call: PreparedCall) -> None:
    async with aclosing(responses_of(environment, call)) as responses:
        async for response in responses:
            print_json(call.method.write(response), indent=call.indent)


def _seconds(timeout: str) -> float:
    seconds = read_duration("--timeout", timeout).total_seconds()
    if not seconds:
        raise UsageError("--timeout: must be more than 0")
    return seconds
