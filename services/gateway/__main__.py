"""`python -m services.gateway`."""

import gc


def main() -> None:
    """Run the gateway until SIGTERM or SIGINT."""
    gc.disable()  # what imports create stays: looking for garbage in it takes 10 to 20 % of their time
    from libs.telemetry.process import run_process
    from services.gateway.app import serve
    from services.gateway.settings import GatewaySettings

    run_process("gateway", GatewaySettings, serve)


if __name__ == "__main__":
    main()
