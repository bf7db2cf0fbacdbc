"""One request and its answer: what it is called, what every answer carries, its log line and its count."""

import re
import time
from dataclasses import replace

import structlog
from starlette.types import Message, Receive, Scope, Send

from libs.rpc.incoming import RequestIds
from services.gateway.edge.answers import Sent, send_answer
from services.gateway.edge.bodies import BodyReader
from services.gateway.edge.metrics import HttpMetrics

_log = structlog.get_logger(__name__)
_IDEMPOTENCY_KEY = re.compile(rb"[!-~]{1,128}")
_QUIET = frozenset({"getHealth", "getReadiness", "getMetrics"})
UNKNOWN = "unknown"


class Exchange:
    """A request and its answer. `operation`, `principal` and `reason` are for the log, once they are known."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_ids: RequestIds) -> None:
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
        self.more_headers: dict[str, str] = {}
        self._status = 0
        self._echo: bytes | None = None

    @property
    def is_started(self) -> bool:
        """Whether an answer has begun, so that no other can be sent."""
        return self._status != 0

    @property
    def path(self) -> str:
        """The path as it came."""
        return self.raw_path.decode("latin-1")

    def echo_idempotency_key(self) -> str | None:
        """Return the Idempotency-Key and send it with the answer; empty when there is none, None when it is wrong."""
        given = self.headers.get(b"idempotency-key")
        if given is None:
            return ""
        if not _IDEMPOTENCY_KEY.fullmatch(given):
            return None
        self._echo = given
        return given.decode()

    async def send(self, message: Message) -> None:
        """Send a part of the answer; its first part gets the headers that every answer carries."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] += [(b"x-request-id", self.request_id.encode()), (b"x-content-type-options", b"nosniff")]
            if self._echo is not None:
                message["headers"].append((b"idempotency-key", self._echo))
        await self._send(message)

    async def answer(self, answer: Sent) -> None:
        """Send a whole answer; while the request's body is unread, read on before the connection is closed."""
        self.reason = answer.reason
        headers = {**answer.headers, **self.more_headers}
        if self.body.is_spent:
            await send_answer(self.send, replace(answer, headers=headers))
            return
        headers["Connection"] = "close"
        await send_answer(self.send, replace(answer, headers=headers), is_last=False)
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
