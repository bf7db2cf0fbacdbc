"""The route that changes an agent."""

from typing import Any

from libs.contract.operations import Operation
from services.gateway.rest.reader import OperationReader
from services.gateway.rest.requests import ParsedRequest
from services.gateway.rest.routes import Route, response_writer

_UNREAD = "echo"


def update_agent(operation: Operation) -> Route:
    """Return the route. The contract requires a connector even when the mask omits it; the service then ignores it."""
    reader = OperationReader(operation)

    def read(request: ParsedRequest) -> Any:
        message: Any = reader(request)
        if not message.agent.HasField("connector"):
            message.agent.connector.kind = _UNREAD
        return message

    return Route(operation, read, response_writer(operation))
