"""`callboard call`: its options. What it does is imported when it runs."""

import os
from typing import Annotated

import typer

from services.cli.error_output import printed_errors

HELP = (
    "Call any method of the contract by its name.\n\n"
    "REQUEST is one JSON object with REST's names: what REST has in the URL, in the body and in headers stands side by "
    "side in it. The response is printed as REST's JSON; a stream prints a line for each response, until Ctrl-C.\n\n"
    "The service is that of CALLBOARD_SESSION_ADDRESS or CALLBOARD_COMMAND_ADDRESS, else of the `callboard up` that "
    "runs on CALLBOARD_HOME; the key is CALLBOARD_KEY, else the home's dev-key.\n\n"
    "Exit codes: 0; 1 the service rejected the call; 2 the method or the request is wrong, and nothing was sent; 4 no "
    "service answers."
)
Method = Annotated[
    str, typer.Argument(help="GetSession, SessionService.GetSession, or the full name.", metavar="METHOD")
]
Request = Annotated[str, typer.Argument(help="A JSON object, @FILE, or - for standard input.", metavar="REQUEST")]
List = Annotated[bool, typer.Option("--list", help="List all methods.")]
Describe = Annotated[bool, typer.Option("--describe", help="Show what METHOD takes and returns, and call nothing.")]
RequestId = Annotated[str, typer.Option(help="Idempotency key: repeating the call with it changes nothing more.")]
Timeout = Annotated[
    str, typer.Option(help="How long the call may take, such as 30s; 60s by default. A stream ends then.")
]
Service = Annotated[str, typer.Option(help="session or command: which one to ask, where both serve METHOD.")]
Pretty = Annotated[
    bool | None, typer.Option("--pretty/--compact", help="Indent JSON, or print a response on one line.")
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
    """Call a method, or say what methods there are."""
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
