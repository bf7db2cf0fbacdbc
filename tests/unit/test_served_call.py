"""Every call is counted once with the code that it ends with."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from libs.rpc.metrics import RpcMetrics
from libs.rpc.policy import DENIED
from libs.rpc.served import ServedCall, ServedMethod


@pytest.mark.parametrize("error", [GeneratorExit, SystemExit, KeyboardInterrupt])
async def test_call_that_the_end_of_the_process_interrupts_is_counted_as_unknown(error: type[BaseException]) -> None:
    registry = CollectorRegistry()
    serving: Any = SimpleNamespace(metrics=RpcMetrics(registry))
    context: Any = SimpleNamespace()
    call = ServedCall(serving, ServedMethod("/a/B", DENIED), context)
    with pytest.raises(error):
        async with call:
            raise error
    labels = {"method": "/a/B", "code": "UNKNOWN"}
    assert registry.get_sample_value("callboard_rpc_calls_total", labels) == 1
