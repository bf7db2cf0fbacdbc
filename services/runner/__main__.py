"""Entry point of `python -m services.runner`."""

import gc


def main() -> None:
    """Run a runner until SIGTERM or SIGINT."""
    gc.disable()  # what imports create stays: looking for garbage in it takes 10 to 20 % of their time
    from libs.telemetry.process import run_process
    from services.runner.app import serve
    from services.runner.settings import RunnerSettings

    run_process("runner", RunnerSettings, serve)


if __name__ == "__main__":
    main()
