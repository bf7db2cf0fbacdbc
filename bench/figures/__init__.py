"""The figures of design 8, one module each, in the order of measurement."""

from collections.abc import Sequence

from bench.figure import Figure
from bench.figures import (
    bulk_submit,
    command_submit,
    durable_call,
    end_to_end,
    event_append,
    fan_out,
    growth,
    memory,
    rest,
    session_create,
    submit_to_start,
)

FIGURES: Sequence[Figure] = (
    durable_call.SUBMIT,
    durable_call.APPEND,
    submit_to_start.SUBMIT_TO_START,
    session_create.SESSION_CREATE,
    command_submit.COMMAND_SUBMIT,
    bulk_submit.BULK_SUBMIT,
    end_to_end.END_TO_END,
    event_append.EVENT_APPEND,
    fan_out.RATE_100,
    fan_out.RATE_1000,
    fan_out.LATENCY_100,
    rest.REST,
    memory.MEMORY,
    growth.GROWTH,
)
