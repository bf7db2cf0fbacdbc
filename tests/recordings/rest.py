"""Sends the requests of scripts to a gateway, and reads the parts of the answers that callers can rely on."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

import httpx2

from tests.support.http_clients import http_client

_HEADERS = (
    "Allow", "Cache-Control", "Content-Type", "ETag", "Idempotency-Key", "Location", "Retry-After", "WWW-Authenticate",
)  # fmt: skip
_PROBLEM = "application/problem+json"
_SECONDS = 120  # a busy machine must not fail the test
_LIST_KEYS = ("name", "in", "required")


class RestCaller:
    """Sends requests. Held streams stay open until it is closed."""

    def __init__(self, gateways: Mapping[str, str], transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._gateways = gateways
        self._client = http_client(timeout=_SECONDS, transport=transport)
        self._held = AsyncExitStack()

    async def close(self) -> None:
        """Ends the held streams and closes the connections."""
        await self._held.aclose()
        await self._client.aclose()

    async def call(
        self, target: str, body: bytes | None, headers: Mapping[str, str], gateway: str, *, take: int, hold: bool
    ) -> dict[str, Any]:
        """Sends one request and returns its answer."""
        method, _, path = target.partition(" ")
        request = self._client.build_request(
            method, self._gateways[gateway] + path, content=body, headers=_sent(headers, has_body=body is not None)
        )
        for name in ("User-Agent", "Accept-Encoding", *(name for name, value in headers.items() if not value)):
            if name != "Idempotency-Key":
                request.headers.pop(name, None)
        async with AsyncExitStack() as stack:
            response = await self._client.send(request, stream=True)
            stack.push_async_callback(response.aclose)
            answer = {"status": response.status_code, "headers": _kept(response.headers)}
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                # Closed by us, and not when it is forgotten: the stream would end with it.
                lines: Any = await stack.enter_async_context(aclosing(response.aiter_lines()))
                answer["frames"], answer["ends"] = await _frames(lines, take)
            elif content := await response.aread():
                answer |= _read(response, content)
            if hold:
                self._held.push_async_exit(stack.pop_all())
            return answer


def _sent(headers: Mapping[str, str], *, has_body: bool) -> dict[str, str]:
    standard = {"Accept": "application/json", **({"Content-Type": "application/json"} if has_body else {})}
    return {**standard, **headers}


def _kept(headers: httpx2.Headers) -> dict[str, str]:
    return {name: headers[name] for name in _HEADERS if name in headers}


def _read(response: httpx2.Response, content: bytes) -> dict[str, Any]:
    type_ = response.headers.get("content-type", "")
    if not type_.split(";")[0].endswith("json"):
        return {"body": f"<{type_}>"}
    value = json.loads(content)
    if type_ == _PROBLEM:
        return {"problem": _without_the_usual(value, response)}
    return {"body": _operations(value) if isinstance(value, dict) and "openapi" in value else value}


def _without_the_usual(problem: dict[str, Any], response: httpx2.Response) -> dict[str, Any]:
    """Removes from a problem the fields that follow from its reason and request."""
    reason = str(problem.get("reason"))
    usual = {
        "type": f"urn:callboard:problem:{reason.lower().replace('_', '-')}",
        "title": reason.replace("_", " ").capitalize(),
        "status": response.status_code,
        "instance": response.request.url.raw_path.decode().partition("?")[0],
    }
    left = {name: value for name, value in problem.items() if name not in usual or usual[name] != value}
    missing = [name for name in (*usual, "detail", "errors") if name not in problem]
    if isinstance(left.get("detail"), str) and left["detail"]:
        del left["detail"]
    return {**left, **({"missing": missing} if missing else {})}


def _operations(document: dict[str, Any]) -> dict[str, Any]:
    """The parts of an OpenAPI document that generators of clients read: operations, parameters, bodies, statuses."""
    return {
        "openapi": document["openapi"],
        "paths": {
            path: {method: _operation(operation) for method, operation in methods.items()}
            for path, methods in document["paths"].items()
        },
    }


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody")
    parameters = [{key: one[key] for key in _LIST_KEYS} for one in operation.get("parameters", [])]
    statuses: dict[str, list[str]] = {}
    for status, answer in sorted(operation.get("responses", {}).items()):
        for type_ in answer.get("content", {"nothing": {}}):
            statuses.setdefault(type_, []).append(status)
    return {
        "operationId": operation["operationId"],
        "parameters": sorted(parameters, key=json.dumps),
        "body": "none" if body is None else "required" if body.get("required") else "optional",
        "media types": sorted((body or {}).get("content", {})),
        "answers": statuses,
    }


async def _frames(lines: AsyncIterator[str], take: int) -> tuple[list[dict[str, Any]], bool]:
    """The frames of a stream without keepalives, and whether it ended by itself."""
    frames: list[dict[str, Any]] = []
    frame: dict[str, Any] = {}
    async for line in lines:
        if line.startswith(":"):
            if "keepalive" not in line:
                frame["comment"] = line[1:].strip()
        elif line:
            name, _, value = line.partition(": ")
            if name in frame:
                raise ValueError(f"a frame has two lines of {name}")
            frame[name] = json.loads(value) if name == "data" else value
        elif frame:
            frames.append(frame)
            frame = {}
            if take and len(frames) == take:
                return frames, False
    return frames, True
