"""Makes the calls of scripts to the services, and reads the parts of the answers that callers can rely on.

Methods are found by their descriptors, independently of the client library.
"""

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import callboard

_COMMAND_PACKAGE = "callboard.commands."
_STREAM_STATE = "callboard-stream"
_SECONDS = 120  # a busy machine must not fail the test


def contract_methods() -> Iterator[MethodDescriptor]:
    """Every method of every service of the contract."""
    for found in pkgutil.walk_packages(callboard.__path__, "callboard."):
        if found.name.endswith("_pb2"):
            for service in importlib.import_module(found.name).DESCRIPTOR.services_by_name.values():
                yield from service.methods


class RpcCaller:
    """Makes calls."""

    def __init__(self, session: str, command: str) -> None:
        self._session = grpc.aio.insecure_channel(session)
        self._command = grpc.aio.insecure_channel(command)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()
        await self._command.close()

    async def call(self, target: str, message: bytes | str, key: str | None, take: int) -> dict[str, Any]:
        """Makes one call and returns its answer. A string is the request as JSON."""
        method = _method(target)
        request = message if isinstance(message, bytes) else _request(method, message)
        metadata = (("authorization", f"Bearer {key}"),) if key is not None else ()
        path = f"/{target.rpartition('.')[0]}/{target.rpartition('.')[2]}"
        channel = self._command if target.startswith(_COMMAND_PACKAGE) else self._session
        try:
            if method is not None and method.server_streaming:
                return await self._stream(channel.unary_stream(path), method, request, metadata, take)
            unary: Any = channel.unary_unary(path)
            raw: bytes = await unary(request, metadata=metadata, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            return _failure(error)
        return {"code": "OK", "response": _json(_read(method, raw))}

    async def _stream(
        self, open_stream: Any, method: MethodDescriptor, request: bytes, metadata: Any, take: int
    ) -> dict[str, Any]:
        call = open_stream(request, metadata=metadata, timeout=_SECONDS)
        events: list[Any] = []
        ends = False
        try:
            state = dict(await call.initial_metadata()).get(_STREAM_STATE)
            while not ends and (not take or len(events) < take):
                raw = await call.read()
                if raw is grpc.aio.EOF:
                    break
                step = _json(_read(method, raw))
                events += step.get("batch", {}).get("events", [])
                ends = "end" in step
            answer = {"code": "OK", "state": state, "events": events, "ends": ends}
            return answer if take else {**answer, "code": (await call.code()).name}
        finally:
            call.cancel()


def _method(target: str) -> MethodDescriptor | None:
    try:
        return descriptor_pool.Default().FindMethodByName(target)
    except KeyError:
        return None


def _request(method: MethodDescriptor | None, text: str) -> bytes:
    if method is None:
        return b""
    return json_format.Parse(text, message_factory.GetMessageClass(method.input_type)()).SerializeToString()


def _read(method: MethodDescriptor | None, raw: bytes) -> Message:
    assert method is not None
    return message_factory.GetMessageClass(method.output_type).FromString(raw)


def _json(message: Message) -> dict[str, Any]:
    value = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {name: _with_embedded(name, item) for name, item in value.items()}


def _with_embedded(name: str, value: Any) -> Any:
    """Parses embedded JSON, so that it can be masked."""
    match value:
        case str() if name.endswith("_json") and value:
            return {"JSON": json.loads(value)}
        case list():
            return [_with_embedded(name, item) for item in value]
        case dict():
            return {inner: _with_embedded(inner, item) for inner, item in value.items()}
        case _:
            return value


def _failure(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    answer: dict[str, Any] = {"code": error.code().name}
    status = rpc_status.from_call(error)
    if not isinstance(status, status_pb2.Status):
        return answer
    for detail in status.details:
        answer |= _detail(detail)
    return answer


def _detail(detail: Any) -> Mapping[str, Any]:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    if detail.Unpack(info):
        return {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
    if detail.Unpack(bad):
        return {"violations": [{"field": one.field, "rule": one.description} for one in bad.field_violations]}
    if detail.Unpack(retry):
        return {"retry after": retry.retry_delay.ToJsonString()}
    return {detail.TypeName(): "<detail>"}
