"""Builds the router: the routes of REST, and the pages that need no API key."""

from collections.abc import Iterable
from functools import partial

from services.gateway.http.app import Endpoint, PublicPage, Target
from services.gateway.http.router import Router
from services.gateway.rest.handler import RequestHandler
from services.gateway.rest.routes import Route


def router_of(
    routes: Iterable[Route], handler: RequestHandler, pages: Iterable[tuple[str, PublicPage]]
) -> Router[Target]:
    """Return the router of routes and pages."""
    router: Router[Target] = Router()
    for route in routes:
        operation = route.operation
        endpoint = Endpoint(operation.id, operation.changes, partial(handler.handle, route))
        for path in (operation.path, *operation.aliases):
            router.add(operation.verb, path, endpoint)
    for path, page in pages:
        for method in ("GET", "HEAD"):
            router.add(method, path, page)
    return router
