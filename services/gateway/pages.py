"""The pages that need no API key: health, readiness, metrics and the OpenAPI document."""

from collections.abc import Awaitable, Callable, Iterator
from functools import cache

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from services.gateway.http.app import PublicPage
from services.gateway.http.readiness import Readiness
from services.gateway.http.responses import JSON, Response, json_response
from services.gateway.openapi.document import describe
from services.gateway.openapi.page import PAGE_HEADERS, page
from services.gateway.rest.table import routes


def public_pages(readiness: Readiness, registry: CollectorRegistry) -> Iterator[tuple[str, PublicPage]]:
    """Yield the paths and the pages."""
    health = json_response(200, {"status": "ok"}, {"Cache-Control": "no-store"})

    async def metrics() -> Response:
        return Response(200, generate_latest(registry), {"Content-Type": CONTENT_TYPE_LATEST})

    yield "/healthz", PublicPage("getHealth", _fixed(health))
    yield "/readyz", PublicPage("getReadiness", readiness.respond)
    yield "/metrics", PublicPage("getMetrics", metrics)
    document, html = _descriptions()
    yield "/openapi.json", PublicPage("getOpenApi", _fixed(document))
    yield "/docs", PublicPage("getDocs", _fixed(html))


@cache
def _descriptions() -> tuple[Response, Response]:
    """Return the OpenAPI document of all routes, as JSON and as a page for people. A process writes them once."""
    document = describe(routes())
    html = Response(200, page(document), PAGE_HEADERS, "text/html")
    return Response(200, orjson.dumps(document), media_type=JSON), html


def _fixed(response: Response) -> Callable[[], Awaitable[Response]]:
    async def same() -> Response:
        return response

    return same
