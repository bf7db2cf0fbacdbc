"""Describes how a client holds a service of the contract: its class, and the attributes with an object of it."""

from google.protobuf.descriptor import ServiceDescriptor

from tools.protos.clients.names import plural, resource_noun, snake

_OF_COMMANDS = "callboard.commands."
_OF_ITSELF = "callboard.health."
"""Every process answers for itself, so that a client asks each of them."""


def resource_name(service: ServiceDescriptor) -> str:
    """Return the name of a service's class: `Agents`, or `Identity` when there is only one."""
    noun = resource_noun(service.name)
    return plural(noun) if f"List{plural(noun)}" in service.methods_by_name else noun


def attributes(service: ServiceDescriptor) -> dict[str, str]:
    """Return the attributes of a client, each with the connection that it uses: `session` or `command`."""
    name = snake(resource_name(service))
    if service.full_name.startswith(_OF_ITSELF):
        return {f"{process}_{name}": process for process in ("session", "command")}
    return {name: "command" if service.full_name.startswith(_OF_COMMANDS) else "session"}
