"""The pages that need no API key: health, readiness, metrics and the OpenAPI document."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from services.gateway.http.app import PublicPage
from services.gateway.http.readiness import Readiness
from services.gateway.http.responses import JSON, Response, json_response
from services.gateway.openapi.document import describe
from services.gateway.openapi.page import PAGE_HEADERS, page
from services.gateway.rest.routes import Route


def public_pages(
    routes: Sequence[Route], readiness: Readiness, registry: CollectorRegistry
) -> Iterator[tuple[str, PublicPage]]:
    """Yield the paths and the pages."""
    document = describe(routes)
    health = json_response(200, {"status": "ok"}, {"Cache-Control": "no-store"})

    async def metrics() -> Response:
        return Response(200, generate_latest(registry), {"Content-Type": CONTENT_TYPE_LATEST})

    yield "/healthz", PublicPage("getHealth", _fixed(health))
    yield "/readyz", PublicPage("getReadiness", readiness.respond)
    yield "/metrics", PublicPage("getMetrics", metrics)
    yield "/openapi.json", PublicPage("getOpenApi", _fixed(Response(200, orjson.dumps(document), media_type=JSON)))
    html = Response(200, page(document), PAGE_HEADERS, "text/html")
    yield "/docs", PublicPage("getDocs", _fixed(html))


def _fixed(response: Response) -> Callable[[], Awaitable[Response]]:
    async def same() -> Response:
        return response

    return same
