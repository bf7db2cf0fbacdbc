"""Finds the target of a path in one walk over its segments, however many routes there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

Target = TypeVar("Target")


@dataclass(slots=True)
class _Node(Generic[Target]):
    words: "dict[bytes, _Node[Target]]" = field(default_factory=dict)
    any_word: "_Node[Target] | None" = None
    name: str = ""
    targets: dict[str, Target] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteMatch(Generic[Target]):
    """A matched path: its targets by method, and its parameters."""

    targets: Mapping[str, Target]
    parameters: Mapping[str, str]


class Router(Generic[Target]):
    """Paths written as in OpenAPI, such as `/api/v1/agents/{agentId}`, each with a target for each method."""

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()

    def add(self, method: str, path: str, target: Target) -> None:
        """Add a target.

        Raises ValueError when the path already has one for this method, and when another path has a parameter of
        another name in the same place.
        """
        node = self._root
        for word in path.encode().split(b"/")[1:]:
            if word.startswith(b"{"):
                name = word.decode().strip("{}")
                node.any_word = node.any_word or _Node(name=name)
                node = node.any_word
                if node.name != name:
                    raise ValueError(f"{path} names {{{name}}} what another path names {{{node.name}}}")
            else:
                node = node.words.setdefault(word, _Node())
        if method in node.targets:
            raise ValueError(f"{method} {path} is defined twice")
        node.targets[method] = target

    def find(self, raw_path: bytes) -> RouteMatch[Target] | None:
        """Return the match of a percent-encoded path, None when there is none. An encoded slash is no separator."""
        node, parameters = self._root, {}
        for word in raw_path.split(b"/")[1:]:
            following = node.words.get(word)
            if following is None:
                following = node.any_word
                if following is None or not word:
                    return None
                try:
                    parameters[following.name] = unquote_to_bytes(word).decode()
                except UnicodeDecodeError:
                    return None
            node = following
        return RouteMatch(node.targets, parameters) if node.targets else None
