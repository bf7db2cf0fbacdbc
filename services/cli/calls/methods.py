"""The contract's methods by name, and the service that serves each."""

from difflib import get_close_matches

from libs.contract import Method, UnknownMethodError, all_methods, find_method
from services.cli.connection import ServiceName
from services.cli.errors import UsageError

_OF_COMMANDS = "callboard.commands.v1"
_OF_BOTH = ("callboard.identity.v1", "callboard.health.v1")
_MOST_SUGGESTIONS = 5


def find(name: str) -> Method:
    """Return the method with a name: alone, with its service, or in full. Raises UsageError."""
    try:
        return find_method(name)
    except UnknownMethodError:
        raise UsageError(f"there is no method {name}; {_advice(name)}") from None


def short_name(method: Method) -> str:
    """Return a method's name with its service: `SessionService.GetSession`."""
    return f"{method.descriptor.containing_service.name}.{method.name}"


def services_of(method: Method) -> tuple[ServiceName, ...]:
    """Return the services that serve a method, the default one first."""
    package = method.descriptor.containing_service.file.package
    if package in _OF_BOTH:
        return (ServiceName.SESSION, ServiceName.COMMAND)
    return (ServiceName.COMMAND if package == _OF_COMMANDS else ServiceName.SESSION,)


def choose_service(method: Method, asked: str) -> ServiceName:
    """Return the service that the caller named, or the default one; raises UsageError."""
    served = services_of(method)
    if not asked:
        return served[0]
    if asked not in served:
        raise UsageError(f"--service: {short_name(method)} is a method of {' and '.join(served)}, not of {asked!r}")
    return ServiceName(asked)


def needs_key(method: Method) -> bool:
    """Return whether a method requires an API key."""
    return method.descriptor.containing_service.name != "ReadinessService"


def _advice(name: str) -> str:
    """Suggest methods whose names differ in case only, are similar, or contain the text."""
    known: dict[str, list[Method]] = {}
    for method in all_methods():
        known.setdefault(method.name.casefold(), []).append(method)
    asked = name.replace("/", ".").rpartition(".")[2].casefold()
    near = [asked] if asked in known else get_close_matches(asked, known, _MOST_SUGGESTIONS)
    near = near or [one for one in known if len(asked) > 2 and asked in one][:_MOST_SUGGESTIONS]
    found = [short_name(method) for one in near for method in known[one]]
    return f"did you mean {' or '.join(found)}?" if found else "`callboard call --list` shows them all"
