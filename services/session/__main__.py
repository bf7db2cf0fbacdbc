"""`python -m services.session`."""

from libs.telemetry.process import run_process
from services.session.app import serve
from services.session.settings import SessionSettings


def main() -> None:
    """Run the session service until SIGTERM or SIGINT."""
    run_process("session", SessionSettings, serve)


if __name__ == "__main__":
    main()
