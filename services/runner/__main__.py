"""Entry point of `python -m services.runner`."""

from libs.telemetry.process import run_process
from services.runner.app import serve
from services.runner.settings import RunnerSettings


def main() -> None:
    """Run a runner until SIGTERM or SIGINT."""
    run_process("runner", RunnerSettings, serve)


if __name__ == "__main__":
    main()
