"""One request and its response: the request id, the headers of every response, the log line and the metrics."""

import re
import time

import structlog
from starlette.types import Message, Receive, Scope, Send

from libs.rpc.incoming import RequestIds
from services.gateway.http.bodies import BodyReader
from services.gateway.http.metrics import HttpMetrics
from services.gateway.http.responses import Response

_log = structlog.get_logger(__name__)
_IDEMPOTENCY_KEY = re.compile(rb"[!-~]{1,128}")
_QUIET = frozenset({"getHealth", "getReadiness", "getMetrics"})
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
UNKNOWN = "unknown"


class RequestContext:
    """A request and its response. `operation`, `principal` and `reason` are set for the log when they are known."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_ids: RequestIds) -> None:
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()
        self.receive = receive
        self.method: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.client_address: str = scope["client"][0] if scope["client"] else ""
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        self.request_id = request_ids({"x-request-id": given})
        self.body = BodyReader(receive, self.headers)
        self.operation = UNKNOWN
        self.principal: str | None = None
        self.reason: str | None = None
        self.is_stream = False
        self.allowed = ""
        self._status = 0
        self._echo: bytes | None = None
        self.idempotency_key: str | None = ""

    @property
    def is_started(self) -> bool:
        """Whether the response has begun, so that no other one can be sent."""
        return self._status != 0

    @property
    def path(self) -> str:
        """The path as it was sent."""
        return self.raw_path.decode("latin-1")

    def read_idempotency_key(self) -> None:
        """Read the Idempotency-Key, and echo it in the response. The key is empty if absent, None if malformed."""
        given = self.headers.get(b"idempotency-key")
        if given is None:
            return
        is_valid = _IDEMPOTENCY_KEY.fullmatch(given) is not None
        self._echo = given if is_valid else None
        self.idempotency_key = given.decode() if is_valid else None

    async def send(self, message: Message) -> None:
        """Send a part of the response, and add the headers of every response to the first part."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self.request_id.encode()), _NO_SNIFFING]
            if self._echo is not None:
                headers.append((b"idempotency-key", self._echo))
            message["headers"] = headers
        await self._send(message)

    async def respond(self, response: Response) -> None:
        """Send a whole response. If the request's body is unread, discard it and close the connection."""
        self.reason = response.reason
        if self.body.is_spent:
            await response(self._scope, self.receive, self.send)
            return
        headers = [*response.raw_headers, (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await self.send({"type": "http.response.body", "body": response.body, "more_body": True})
        await self.body.linger()
        await self.send({"type": "http.response.body", "body": b""})

    def ended(self, metrics: HttpMetrics) -> None:
        """Write the log line and count the request."""
        seconds = time.perf_counter() - self._started
        metrics.observe(self.operation, self._status, seconds, is_stream=self.is_stream)
        log = _log.debug if self.operation in _QUIET else _log.info
        log(
            "http", method=self.method, path=self.path, operation=self.operation, status=self._status,
            duration_ms=round(seconds * 1000, 3), request_id=self.request_id, principal=self.principal,
            **({"reason": self.reason} if self.reason else {}),
        )  # fmt: skip
