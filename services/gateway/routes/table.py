"""All operations of the API."""

from services.gateway.routes import agents, commands, dead_letters, events, sessions

OPERATIONS = (
    *agents.OPERATIONS,
    *sessions.OPERATIONS,
    *events.OPERATIONS,
    *commands.OPERATIONS,
    *dead_letters.OPERATIONS,
)
STREAM_RPC = "callboard.events.v1.EventService.StreamEvents"
