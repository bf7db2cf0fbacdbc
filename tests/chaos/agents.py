"""The agents of a run, their connectors, and the tools that are called."""

import random
from collections.abc import Collection
from typing import Any

from callboard.agents.v1.agents_pb2 import Connector

ECHOING = [f"echo-{number}" for number in range(1, 7)]
TOOLED = [f"tool-{number}" for number in range(1, 5)]
AGENTS = ECHOING + TOOLED
"""The agents of every run."""

HTTP_AGENTS = ["http-1", "http-2"]
"""The additional agents of runs with F22, whose tool server is reached over HTTP."""

STDIO_ENTRY, HTTP_ENTRY = "chaos", "chaos-http"
"""The names of the tool servers in the server registry."""

Tool = tuple[str, dict[str, Any]]

ODD_TOOLS: dict[str, list[Tool]] = {
    "F17": [("crash", {}), ("big", {"size": 5 << 20}), ("stubborn", {"seconds": 9.0})],
    "F22": [("crash", {}), ("garbage", {}), ("hang", {})],
    "FP": [("crash", {})],
}
"""The tools that a fault adds: they crash, hang, or answer with garbage or far too much."""

HARMFUL_TOOLS = frozenset({"crash", "hang", "garbage", "big"})
"""The tools that harm other commands on the same server."""


def agents_of(faults: Collection[str]) -> list[str]:
    """Return the agents of a run with these faults."""
    return AGENTS + HTTP_AGENTS if "F22" in faults else AGENTS


def connector_of(agent: str) -> Connector:
    """Return the connector of an agent."""
    if agent in ECHOING:
        return Connector(kind="echo")
    return Connector(kind="mcp", server=HTTP_ENTRY if agent in HTTP_AGENTS else STDIO_ENTRY)


def drawn_tool(agent: str, draw: random.Random, odd_tools: Collection[Tool]) -> Tool:
    """Draw a tool to call. The HTTP server gets no odd tools, because several agents share it."""
    odd = () if agent in HTTP_AGENTS else odd_tools
    weights = [8.0, 5.0, 1.0, 1.0, *(0.05 if tool == "hang" else 0.15 for tool, _ in odd)]
    return draw.choices([*_usual_tools(draw), *odd], weights)[0]


def _usual_tools(draw: random.Random) -> list[Tool]:
    return [
        ("work", {"seconds": draw.uniform(0, 0.2)}),
        ("work", {"seconds": draw.uniform(1, 4)}),
        ("fail", {}),
        ("stubborn", {"seconds": 1.0}),
    ]
