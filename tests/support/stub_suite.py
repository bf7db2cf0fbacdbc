"""`callboard up` with a small HTTP server as a stub of each service: real engines, real supervision.

Run as `python -m tests.support.stub_suite`; it takes its settings from the environment as `up` does.
CALLBOARD_TEST_CRASH names a process that exits at once, after a line of output.
"""

import asyncio
import logging
import os
import sys
from functools import partial

from libs.embedded import (
    ChildError,
    ChildSpec,
    EngineError,
    free_port,
)
from services.cli.checks import http_ok
from services.cli.errors import CliError
from services.cli.home import SOURCE_ROOT, Home
from services.cli.up.embedded import Engines
from services.cli.up.output import UpOutput
from services.cli.up.processes import Services, describe_services
from services.cli.up.run import run_up
from services.cli.up.settings import Addresses, UpSettings

_SERVE = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]
_CRASH = "import sys; print('the last word', flush=True); sys.exit(9)"


def describe_stubs(addresses: Addresses, engines: Engines, home: Home, runners: int) -> Services:
    """The real services' names and environment, with a stub's command line."""
    real = describe_services(addresses, engines, home, runners)
    crashing = os.environ.get("CALLBOARD_TEST_CRASH")
    specs = [
        _stub(
            spec,
            port := addresses.http_port if spec.name == "gateway" else free_port(),
            [sys.executable, "-c", _CRASH] if spec.name == crashing else [*_SERVE, str(port)],
        )
        for spec in real.specs
    ]
    return Services(specs, real.metrics)


def _stub(spec: ChildSpec, port: int, argv: list[str]) -> ChildSpec:
    return ChildSpec(
        name=spec.name,
        argv=argv,
        environment=spec.environment,
        cwd=SOURCE_ROOT / "docs",
        ready=partial(http_ok, f"127.0.0.1:{port}", "/"),
    )


def main() -> int:
    """Runs it; the exit code is `up`'s."""
    logging.basicConfig(level=logging.WARNING, format="  %(message)s", stream=sys.stdout)
    show = UpOutput()
    try:
        asyncio.run(run_up(UpSettings.from_environment(os.environ), show, describe_stubs))
    except CliError as error:
        sys.stderr.write(f"callboard: {error}\n")
        return error.exit_code
    except (ChildError, EngineError) as error:
        show.failure(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
