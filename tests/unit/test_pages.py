"""Pages of lists, and the scope that their tokens are of."""

from collections.abc import Mapping
from typing import Any

import pytest

from callboard.agents.v1.agents_pb2 import ListAgentsRequest
from libs.calls import Page, list_scope, read_page
from libs.errors import Reason, ServiceError

NAMES = [f"agent-{number:03}" for number in range(120)]


async def page_of(size: int, token: str = "", scope: str = "agents {}") -> Page[str]:
    async def find(after: Mapping[str, Any] | None, limit: int) -> list[str]:
        return [name for name in NAMES if after is None or name > after["after"]][:limit]

    return await read_page(scope, ListAgentsRequest(page_size=size, page_token=token), {"after": str}, find)


@pytest.mark.parametrize(("size", "pages"), [(0, 3), (1, 120), (40, 3), (119, 2), (120, 1), (500, 1)])
async def test_pages_hold_every_item_once_and_the_last_one_has_no_token(size: int, pages: int) -> None:
    page = await page_of(size)
    found, number = page.items, 1
    while page.next_token:
        assert len(page.items) == (size or 50)
        page = await page_of(size, page.next_token)
        found, number = found + page.items, number + 1
    assert (found, number) == (NAMES, pages)


async def test_token_of_another_scope_is_rejected() -> None:
    token = (await page_of(1)).next_token
    with pytest.raises(ServiceError) as caught:
        await page_of(1, token, list_scope("agents", {"kind": "mcp"}))
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


def test_scope_is_the_same_when_a_filter_is_added_that_is_not_given() -> None:
    old = {"agent_id": "clock", "states": ("queued",)}
    assert list_scope("commands", {"added": "", "labels": {}, "before": None, **old}) == list_scope("commands", old)


@pytest.mark.parametrize(
    "other", [{"agent_id": "watch"}, {}, {"session_id": "clock"}, {"agent_id": "clock", "b": False}]
)
def test_scopes_of_different_filters_differ(other: dict[str, Any]) -> None:
    assert list_scope("commands", {"agent_id": "clock"}) != list_scope("commands", other)


def test_order_of_filters_and_labels_does_not_change_the_scope() -> None:
    labels = {"a": "1", "b": "2"}
    backwards = {"labels": dict(reversed(labels.items())), "agent_id": "clock"}
    assert list_scope("sessions", {"agent_id": "clock", "labels": labels}) == list_scope("sessions", backwards)
