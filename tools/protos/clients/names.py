"""Converts names of the contract to names in Python."""

import re

_UPPER_CASE = {"callboard.errors.v1.ErrorReason"}  # as in `CallboardError.reason` and docs/errors.md


def snake(name: str) -> str:
    """Return a CamelCase name in snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def plural(noun: str) -> str:
    """Return the plural of a resource's name."""
    return f"{noun}s"


def word(enum_full_name: str, value: str) -> str:
    """Return the word of an enum's value: `COMMAND_STATE_QUEUED` is `queued`."""
    prefix = snake(enum_full_name.rpartition(".")[2]).upper() + "_"
    stripped = value.removeprefix(prefix)
    return stripped if enum_full_name in _UPPER_CASE else stripped.lower()


def module_of(file_name: str) -> str:
    """Return the name that generated code imports a file's messages under: `commands_pb2`."""
    return file_name.rpartition("/")[2].removesuffix(".proto") + "_pb2"


def package_of(file_name: str) -> str:
    """Return the package of the file's module: `callboard.commands.v1`."""
    return file_name.rpartition("/")[0].replace("/", ".")


def resource_noun(service: str) -> str:
    """Return the resource of a service: `DeadLetter` for `DeadLetterService`."""
    return service.removesuffix("Service")


def method_name(service: str, method: str, siblings: set[str]) -> str:
    """Return the name of a method on its resource: the verb, with `_many` if it also exists for one item.

    `CancelCommand` is `cancel`, `CancelCommands` and `BulkSubmitCommands` are `cancel_many` and `submit_many`.
    """
    noun = resource_noun(service)
    many = plural(noun)
    if method.endswith(many):
        verb = method.removesuffix(many).removeprefix("Bulk")
        return snake(verb) + ("_many" if verb + noun in siblings else "")
    return snake(method.removesuffix(noun))
