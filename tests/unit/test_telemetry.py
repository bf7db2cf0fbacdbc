"""Logs without secrets, metrics over HTTP, and the watch over side tasks."""

import asyncio
import json
import subprocess
import sys

import pytest
from prometheus_client import Counter

from libs.identity.keys import new_key
from libs.telemetry import MetricsServer, TaskDiedError, TaskWatch, configure, new_registry
from libs.telemetry.redaction import redacted

KEY = new_key()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", f"Bearer {KEY.secret_text}"),
        ("Authorization", "x-secret"),
        ("x_api_key", "x-secret"),
        ("db-password", b"x-secret"),
        ("token", ["x-secret"]),
        ("text", f"the key {KEY.secret_text} is wrong"),
        ("headers", {"Authorization": "x-secret", "list": [{"secret": "x-secret"}]}),
        ("url", "postgresql://user:x-secret@127.0.0.1/db"),
        ("error", ValueError(f"no {KEY.secret_text}")),
    ],
    ids=["header", "capital", "api key", "bytes", "list", "in a text", "nested", "in a URL", "in an error"],
)
def test_log_redaction_removes_secrets(name: str, value: object) -> None:
    text = repr(redacted(name, value))
    assert "x-secret" not in text
    assert KEY.secret_text not in text


def test_log_redaction_keeps_values_that_are_not_secret() -> None:
    assert redacted("agent_id", "clock") == "clock"
    assert redacted("count", 3) == 3
    assert redacted("tokens", 17) == 17
    assert redacted("text", f"by {KEY.secret_text}") == f"by cb_{KEY.key_id}_[redacted]"


SCRIPT = f"""
import logging, structlog, warnings
from libs.telemetry import configure
configure("trial", "info")
structlog.contextvars.bind_contextvars(request_id="r1", tenant="acme")
log = structlog.get_logger("a")
log.info("one", token="x", n=1)
log.debug("never")
logging.getLogger("b").warning("two %s", "{KEY.secret_text}", extra={{"password": "p"}})
warnings.warn("three")
try:
    raise ValueError("{KEY.secret_text}")
except ValueError:
    log.exception("four")
"""


def test_every_log_line_is_json_with_time_service_and_context() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"].split()[0] for line in lines[:2]] == ["one", "two"]
    assert all(line["request_id"] == "r1" and line["tenant"] == "acme" for line in lines)
    assert all(line["service"] == "trial" and line["time"].endswith("Z") for line in lines)
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "error"]
    assert "Traceback" in lines[3]["exception"]
    assert KEY.secret_text not in done.stdout
    assert lines[0]["token"] == lines[1]["password"] == "[redacted]"


def test_unknown_log_level_is_rejected() -> None:
    with pytest.raises(ValueError, match="loud"):
        configure("trial", "loud")


async def get(port: int, request: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


async def test_metrics_and_health_are_served_over_http() -> None:
    registry, healthy = new_registry(), [True]
    Counter("trial", "A trial.", registry=registry).inc(3)
    async with MetricsServer(registry, lambda: healthy[0], port=0) as server:
        status, text = await get(server.port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status == 200
        assert "trial_total 3.0" in text
        assert "process_resident_memory_bytes" in text
        assert (await get(server.port, "GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200
        healthy[0] = False
        assert (await get(server.port, "GET /healthz?a=b HTTP/1.1\r\n\r\n"))[0] == 503
        assert (await get(server.port, "GET /else HTTP/1.1\r\n\r\n"))[0] == 404
        assert (await get(server.port, "POST /metrics HTTP/1.1\r\n\r\n"))[0] == 400
        with pytest.raises(OSError, match=str(server.port)):
            await MetricsServer(registry, lambda: True, port=server.port).__aenter__()


async def test_oversized_request_does_not_stop_the_metrics_server() -> None:
    async with MetricsServer(new_registry(), lambda: True, port=0) as server:
        with pytest.raises((IndexError, OSError)):
            await get(server.port, "x" * 100_000)
        assert (await get(server.port, "GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200


async def forever() -> None:
    await asyncio.Event().wait()


async def test_failed_task_is_reported_by_the_watch() -> None:
    async def die() -> None:
        raise ValueError("so it is")

    async with TaskWatch() as tasks:
        tasks.start("steady", forever())
        tasks.start("mortal", die())
        with pytest.raises(TaskDiedError, match="mortal") as caught:
            await asyncio.wait_for(tasks.failed, 1)
        assert isinstance(caught.value.__cause__, ValueError)


async def test_long_running_task_that_returns_is_reported_by_the_watch() -> None:
    async with TaskWatch() as tasks:
        await tasks.start("finite", asyncio.sleep(0), may_end=True)
        assert not tasks.failed.done()
        tasks.start("loop", asyncio.sleep(0))
        with pytest.raises(TaskDiedError):
            await asyncio.wait_for(tasks.failed, 1)


async def test_tasks_are_stopped_in_reverse_order() -> None:
    ended: list[str] = []

    async def noted(name: str) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async with TaskWatch() as tasks:
        for name in ("first", "second", "third"):
            tasks.start(name, noted(name))
        await asyncio.sleep(0)
    assert ended == ["third", "second", "first"]
    assert tasks.failed.cancelled()
