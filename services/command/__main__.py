"""`python -m services.command`, and `python -m services.command runner`."""

import sys

from libs.telemetry.process import run_process
from services.command.settings import CommandSettings, RunnerSettings


def main() -> None:
    """Run the command service, or a runner, until SIGTERM or SIGINT."""
    match sys.argv[1:]:
        case []:
            from services.command.app import serve

            run_process("command", CommandSettings, serve)
        case ["runner"]:
            # Imported here: the agents' SDK takes a second to import, and the service does not need it.
            from services.command.runner.app import serve as run

            run_process("runner", RunnerSettings, run)
        case _:
            sys.exit("usage: python -m services.command [runner]")


if __name__ == "__main__":
    main()
