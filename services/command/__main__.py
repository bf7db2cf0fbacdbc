"""`python -m services.command`."""

import gc


def main() -> None:
    """Run the command service until SIGTERM or SIGINT."""
    gc.disable()  # what imports create stays: looking for garbage in it takes 10 to 20 % of their time
    from libs.telemetry.process import run_process
    from services.command.app import serve
    from services.command.settings import CommandSettings

    run_process("command", CommandSettings, serve)


if __name__ == "__main__":
    main()
