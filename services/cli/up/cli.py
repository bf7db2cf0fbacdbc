"""`callboard up`: its options. What it does is imported when it runs."""

import os
import sys
from typing import Annotated

import typer

from services.cli.error_output import printed_errors


def up(
    runners: Annotated[int, typer.Option(min=0, max=64, help="The number of runners to start.")] = 1,
) -> None:
    """Run everything on this machine until Ctrl-C: Postgres, NATS, services, runners, gateway."""
    import asyncio
    import logging

    from libs.embedded import ChildError, EngineError
    from services.cli.up.output import UpOutput
    from services.cli.up.run import run_up
    from services.cli.up.settings import UpSettings

    logging.basicConfig(level=logging.WARNING, format="  %(message)s", stream=sys.stdout)
    output = UpOutput()
    with printed_errors():
        settings = UpSettings.from_environment(os.environ, runners)
        try:
            asyncio.run(run_up(settings, output))
        except (ChildError, EngineError) as error:
            output.failure(error)
            raise typer.Exit(1) from error
