"""`python -m services.session`."""

import gc


def main() -> None:
    """Run the session service until SIGTERM or SIGINT."""
    gc.disable()  # what imports create stays: looking for garbage in it takes 10 to 20 % of their time
    from libs.telemetry.process import run_process
    from services.session.app import serve
    from services.session.settings import SessionSettings

    run_process("session", SessionSettings, serve)


if __name__ == "__main__":
    main()
