"""`python -m services.gateway`."""

from libs.telemetry.process import run_process
from services.gateway.app import serve
from services.gateway.settings import GatewaySettings


def main() -> None:
    """Run the gateway until SIGTERM or SIGINT."""
    run_process("gateway", GatewaySettings, serve)


if __name__ == "__main__":
    main()
