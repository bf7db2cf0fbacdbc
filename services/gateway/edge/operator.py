"""Carries an operation out: reads what is asked, authorises it, calls the service, and answers."""

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import Message
from protovalidate import Validator

from libs.errors import Reason, ServiceError
from libs.rpc import call_metadata, check_rules, service_error_from_rpc
from services.gateway.edge.answers import Sent, json_answer
from services.gateway.edge.calls import Calls, StreamCalls
from services.gateway.edge.exchange import Exchange
from services.gateway.edge.principals import Principal
from services.gateway.edge.reading import read_asked, wants_stream
from services.gateway.edge.streams import EventStream, OpenStreams
from services.gateway.routes.operation import Asked, Operation
from services.gateway.settings import GatewaySettings
from services.gateway.translation.fields import in_rest_words

_STATE_KEY = "callboard-stream"
_NO_STORE = {"Cache-Control": "no-store"}
_Metadata = Any  # what call_metadata makes


class Operator:
    """Carries operations out on behalf of their callers."""

    def __init__(
        self, calls: Calls, stream_calls: StreamCalls, streams: OpenStreams, settings: GatewaySettings
    ) -> None:
        self._calls = calls
        self._stream_calls = stream_calls
        self._validator = Validator()
        self._streams = streams
        self._settings = settings

    async def operate(
        self, operation: Operation, path: Mapping[str, str], exchange: Exchange, principal: Principal
    ) -> None:
        """Answer one request; raises ServiceError: first for a body that is too large, then what is wrong with the
        request, then for the role, then what the service says."""
        asked = read_asked(operation, path, exchange, await exchange.body.read())
        follows = wants_stream(operation, exchange.headers, exchange.query)
        request = operation.ask(asked, follows=follows)
        self._check(operation, request)
        self._authorise(operation, principal)
        metadata = call_metadata(
            authorization=principal.authorization,
            request_id=exchange.request_id,
            client_address=exchange.client_address,
        )
        try:
            if follows:
                await self._follow(exchange, request, metadata)
            else:
                await exchange.answer(await self._call(operation, asked, request, metadata))
        except grpc.aio.AioRpcError as error:
            raise in_rest_words(service_error_from_rpc(error), operation.names) from None

    def _check(self, operation: Operation, request: Message) -> None:
        """Hold the request against the contract's own rules, which come before the role in the order of refusals."""
        try:
            check_rules(self._validator, request)
        except ServiceError as error:
            raise in_rest_words(error, operation.names) from None

    def _authorise(self, operation: Operation, principal: Principal) -> None:
        access = self._calls.access[operation.rpc]
        if not access.role or principal.role < access.role:
            raise ServiceError(
                Reason.ROLE_REQUIRED, f"this needs the role {access.role_name}",
                metadata={"required_role": access.role_name},
            )  # fmt: skip

    async def _call(self, operation: Operation, asked: Asked, request: Message, metadata: _Metadata) -> Sent:
        response = await self._calls[operation.rpc](request, metadata=metadata, timeout=self._settings.call_timeout)
        reply = operation.answer(response, asked)
        headers = {**_NO_STORE, **reply.headers}
        if reply.value is None:
            return Sent(reply.status, headers=headers)
        return json_answer(reply.status, reply.value, headers)

    async def _follow(self, exchange: Exchange, request: Message, metadata: _Metadata) -> None:
        self._streams.admit()
        with self._stream_calls.one() as method:
            await self._relay(exchange, method(request, metadata=metadata))

    async def _relay(self, exchange: Exchange, call: Any) -> None:
        try:
            if await self._has_ended(call):
                await exchange.answer(Sent(204, headers=_NO_STORE))
                return
            exchange.is_stream = True
            stream = EventStream(
                call, exchange.send,
                keepalive=self._settings.keepalive, write_deadline=self._settings.write_deadline,
            )  # fmt: skip
            await stream.run(exchange.receive, self._streams)
        finally:
            call.cancel()  # a call that is merely dropped is never cancelled (grpc#43462)

    async def _has_ended(self, call: Any) -> bool:
        """Wait for the service's first word on a stream; raises AioRpcError when it refuses."""
        try:
            async with asyncio.timeout(self._settings.call_timeout):
                state = dict(await call.initial_metadata() or ()).get(_STATE_KEY)
                if state is None and await call.read() is not grpc.aio.EOF:  # reading raises the refusal
                    raise ServiceError(Reason.INTERNAL, "the stream began without a word on its state")
        except TimeoutError:
            raise ServiceError(Reason.DEADLINE_EXCEEDED, "the stream did not open in time") from None
        return state != "live"
