"""What an update of an agent changes, and which servers an agent can name."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from libs.errors import Reason, ServiceError
from services.session.agents.model import Agent, AgentCode, NewAgent
from services.session.agents.ports import AgentStore
from services.session.agents.service import Agents

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
STORED = Agent("clock", "Clock", "mcp", "time", True, {"a": "1"}, 7, _NOW, _NOW)
WANTED = NewAgent("clock", "Watch", "echo", "", False, {"b": "2"})
FIELDS = ["display_name", "connector", "exclusive", "labels"]


class OneAgent:
    """A store with one agent. `rivals` other writers change it, each just before a change by the test."""

    def __init__(self, rivals: int = 0) -> None:
        self.agent = STORED
        self._rivals = rivals

    async def get(self, tenant_id: str, agent_id: str) -> Agent | None:
        return self.agent if agent_id == self.agent.agent_id else None

    async def create(self, tenant_id: str, agent: NewAgent, key: Any) -> tuple[AgentCode, Agent | None]:
        return AgentCode.OK, self.agent

    async def update(self, tenant_id: str, agent: Agent, key: Any) -> tuple[AgentCode, Agent | None]:
        if self._rivals:
            self._rivals -= 1
            self.agent = replace(self.agent, display_name="a rival's", version=self.agent.version + 1)
        if agent.version != self.agent.version:
            return AgentCode.CONFLICT, None
        self.agent = replace(agent, version=agent.version + 1)
        return AgentCode.OK, self.agent


def _agents(store: OneAgent, servers: Collection[str] | None = None) -> Agents:
    return Agents(cast(AgentStore, store), lambda: servers)


@pytest.mark.parametrize("field", FIELDS)
async def test_update_changes_only_the_fields_of_its_mask(field: str) -> None:
    changed = await _agents(OneAgent()).update("t", WANTED, [field], None, None)
    parts = {
        "display_name": changed.display_name,
        "connector": (changed.kind, changed.server),
        "exclusive": changed.exclusive,
        "labels": changed.labels,
    }
    old: dict[str, Any] = {
        "display_name": "Clock", "connector": ("mcp", "time"), "exclusive": True, "labels": {"a": "1"},
    }  # fmt: skip
    new: dict[str, Any] = {
        "display_name": "Watch", "connector": ("echo", ""), "exclusive": False, "labels": {"b": "2"},
    }  # fmt: skip
    assert parts == {**old, field: new[field]}


async def test_update_without_a_version_applies_to_the_latest_version() -> None:
    changed = await _agents(OneAgent(rivals=2)).update("t", WANTED, ["labels"], None, None)
    assert (changed.display_name, changed.labels) == ("a rival's", {"b": "2"})


async def test_update_of_a_version_is_rejected_after_another_change() -> None:
    with pytest.raises(ServiceError) as caught:
        await _agents(OneAgent(rivals=1)).update("t", WANTED, ["labels"], STORED.version, None)
    assert caught.value.reason is Reason.ETAG_MISMATCH


@pytest.mark.parametrize("servers", [[], ["disk", "files"]])
async def test_unregistered_server_is_rejected_naming_it(servers: list[str]) -> None:
    agents, wanted = _agents(OneAgent(), servers), replace(WANTED, kind="mcp", server="nowhere")
    for work in (agents.create("t", wanted, None), agents.update("t", wanted, ["connector"], None, None)):
        with pytest.raises(ServiceError) as caught:
            await work
        assert caught.value.reason is Reason.SERVER_NOT_REGISTERED
        assert caught.value.metadata == {"server": "nowhere"}
        assert (", ".join(servers) or "none") in caught.value.message


async def test_server_is_not_looked_up_without_a_name_or_a_registry() -> None:
    lookups = 0

    def servers() -> list[str]:
        nonlocal lookups
        lookups += 1
        return ["disk"]

    agents = Agents(cast(AgentStore, OneAgent()), servers)
    assert await agents.create("t", WANTED, None) == STORED
    assert (await agents.update("t", WANTED, ["display_name"], None, None)).server == STORED.server
    assert lookups == 0
    unregistered = replace(WANTED, kind="mcp", server="anything")
    assert await _agents(OneAgent(), None).create("t", unregistered, None) == STORED
