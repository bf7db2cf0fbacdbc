"""`python -m services.command`."""

from libs.telemetry.process import run_process
from services.command.app import serve
from services.command.settings import CommandSettings


def main() -> None:
    """Run the command service until SIGTERM or SIGINT."""
    run_process("command", CommandSettings, serve)


if __name__ == "__main__":
    main()
