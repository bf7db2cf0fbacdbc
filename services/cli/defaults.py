"""Where the services are when nobody says otherwise."""

LOOPBACK = "127.0.0.1"
DEFAULT_PORTS = {"CALLBOARD_HTTP_PORT": 8080, "CALLBOARD_SESSION_PORT": 7401, "CALLBOARD_COMMAND_PORT": 7402}
"""The ports of the services when their variables are not set."""
