"""The options of `callboard call`. The code that calls is imported when the command runs."""

import os
from typing import Annotated

import typer

from services.cli.error_output import printed_errors

HELP = (
    "Call any method of the contract by its name.\n\n"
    "REQUEST is one JSON object with the field names of REST. It contains the fields of the URL, the body and the "
    "headers. The response is printed as REST's JSON. A stream prints a line for each response, until Ctrl-C.\n\n"
    "The address of the service is CALLBOARD_SESSION_ADDRESS or CALLBOARD_COMMAND_ADDRESS, by default that of the "
    "`callboard up` that runs on CALLBOARD_HOME. The key is CALLBOARD_KEY, by default the home's dev-key.\n\n"
    "Exit codes: 0 success; 1 the service rejected the call; 2 the method or the request is invalid, and nothing was "
    "sent; 4 no service answers."
)
Method = Annotated[
    str, typer.Argument(help="The method: GetSession, SessionService.GetSession, or the full name.", metavar="METHOD")
]
Request = Annotated[str, typer.Argument(help="A JSON object, @FILE, or - for standard input.", metavar="REQUEST")]
List = Annotated[bool, typer.Option("--list", help="List all methods.")]
Describe = Annotated[
    bool, typer.Option("--describe", help="Describe the request and the response of METHOD, without a call.")
]
RequestId = Annotated[str, typer.Option(help="Idempotency key: repeating the call with it changes nothing more.")]
Timeout = Annotated[
    str, typer.Option(help="The time limit of the call, such as 30s. The default is 60s, and none for a stream.")
]
Service = Annotated[str, typer.Option(help="The service to call if both have METHOD: session or command.")]
Pretty = Annotated[
    bool | None, typer.Option("--pretty/--compact", help="Print indented JSON, or one line for each response.")
]


def call(
    method: Method = "",
    request: Request = "{}",
    list_methods: List = False,
    describe: Describe = False,
    request_id: RequestId = "",
    timeout: Timeout = "",
    service: Service = "",
    pretty: Pretty = None,
) -> None:
    """Call a method, or list or describe methods."""
    from services.cli.calls import run
    from services.cli.errors import UsageError

    options = run.CallOptions(request_id=request_id, timeout=timeout, service=service, pretty=pretty)
    with printed_errors():
        if list_methods:
            run.list_methods()
        elif not method:
            raise UsageError("name a METHOD; `callboard call --list` shows them all")
        elif describe:
            run.describe_method(method)
        else:
            run.call_method(os.environ, method, request, options)
