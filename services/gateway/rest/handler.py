"""Handles requests: reads and authorises them, calls the service, and responds."""

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import Message
from protovalidate import Validator

from libs.errors import Reason, ServiceError
from libs.rpc import call_metadata, check_rules, service_error_from_rpc
from services.gateway.http.callers import GatewayCaller
from services.gateway.http.context import RequestContext
from services.gateway.http.responses import Response
from services.gateway.rest.calls import Calls, StreamCalls
from services.gateway.rest.requests import ParsedRequest
from services.gateway.rest.routes import Route
from services.gateway.settings import GatewaySettings
from services.gateway.sse.streams import STATE_KEY, EventStream, OpenStreams

_NO_STORE = {"Cache-Control": "no-store"}
_Metadata = Any  # the result of call_metadata


class RequestHandler:
    """Handles requests on behalf of their callers."""

    def __init__(
        self, calls: Calls, stream_calls: StreamCalls, streams: OpenStreams, settings: GatewaySettings
    ) -> None:
        self._calls = calls
        self._stream_calls = stream_calls
        self._validator = Validator()
        self._streams = streams
        self._settings = settings

    async def handle(
        self, route: Route, parameters: Mapping[str, str], context: RequestContext, caller: GatewayCaller
    ) -> None:
        """Respond to one request.

        Raises ServiceError, in this order: for a body that is too large, for an invalid request, for a missing role,
        and for an error of the service.
        """
        body = await context.body.read()
        parsed = ParsedRequest(parameters, context.query, body, context.headers, context.idempotency_key)
        stream = route.follow(parsed) if route.follow is not None else None
        request = route.read(parsed) if stream is None else stream
        self._authorise(route, caller, request)
        metadata = call_metadata(
            authorization=caller.authorization, request_id=context.request_id, client_address=context.client_address
        )
        try:
            if stream is not None:
                await self._follow(context, stream, metadata)
            else:
                response = await self._calls[route.rpc](request, metadata=metadata, timeout=self._settings.call_timeout)
                await context.respond(route.respond(response))
        except grpc.aio.AioRpcError as error:
            raise route.in_rest_words(service_error_from_rpc(error), request) from None

    def _authorise(self, route: Route, caller: GatewayCaller, request: Message) -> None:
        """Reject a caller without the method's role.

        An invalid request is reported before a missing role. The service validates only requests that reach it, so a
        rejected one is validated here.
        """
        access = self._calls.access[route.rpc]
        if access.role and caller.role >= access.role:
            return
        try:
            check_rules(self._validator, request)
        except ServiceError as error:
            raise route.in_rest_words(error, request) from None
        raise ServiceError(
            Reason.ROLE_REQUIRED, f"this needs the role {access.role_name}",
            metadata={"required_role": access.role_name},
        )  # fmt: skip

    async def _follow(self, context: RequestContext, request: Message, metadata: _Metadata) -> None:
        self._streams.admit()
        with self._stream_calls.one() as method:
            await self._relay(context, method(request, metadata=metadata))

    async def _relay(self, context: RequestContext, call: Any) -> None:
        try:
            if await self._has_ended(call):
                await context.respond(Response(204, headers=_NO_STORE))
                return
            context.is_stream = True
            stream = EventStream(
                call, context.send,
                keepalive=self._settings.keepalive, write_deadline=self._settings.write_deadline,
            )  # fmt: skip
            await stream.run(context.receive, self._streams)
        finally:
            call.cancel()  # grpc does not cancel a call that is only dropped (grpc#43462)

    async def _has_ended(self, call: Any) -> bool:
        """Wait for the state of a stream, and return whether it has ended. Raises AioRpcError when it is rejected."""
        try:
            async with asyncio.timeout(self._settings.call_timeout):
                state = dict(await call.initial_metadata() or ()).get(STATE_KEY)
                if state is None and await call.read() is not grpc.aio.EOF:  # reading raises the error
                    raise ServiceError(Reason.INTERNAL, "the stream began without reporting its state")
        except TimeoutError:
            raise ServiceError(Reason.DEADLINE_EXCEEDED, "the stream did not open in time") from None
        return state != "live"
