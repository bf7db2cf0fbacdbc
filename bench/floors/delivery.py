"""The delivery of a message by JetStream: published, stored, and received by a durable consumer in the same process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bench.rig import Rig
from libs.bus import Bus, ConsumerSpec, Delivery, Publisher, PullLoop, Streams, StreamSpec

_STREAM = StreamSpec(name="BENCH_DELIVERY", subjects=("bench_delivery.>",))


@asynccontextmanager
async def delivering(rig: Rig) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Yield a call that publishes a message and returns once it has arrived."""
    bus = await Bus.connect(rig.engines.nats_url, "bench-delivery")
    streams = Streams(bus)
    await streams.ensure_stream(_STREAM)
    spec = ConsumerSpec(stream=_STREAM.name, name=rig.name("delivery"), filter_subjects=_STREAM.subjects)
    arrived = asyncio.Event()

    def take(delivery: Delivery) -> None:
        delivery.ack()
        arrived.set()

    async def ensure() -> None:
        await streams.ensure_consumer(spec)

    loop = PullLoop(bus, _STREAM.name, spec.name, free_slots=lambda: 16, on_message=take, ensure=ensure)
    task = asyncio.create_task(loop.run(), name="bench delivery")
    publisher = Publisher(bus)

    async def deliver(_: int) -> None:
        arrived.clear()
        acked = asyncio.ensure_future(publisher.publish("bench_delivery.one", b"{}", rig.name("message")))
        async with asyncio.timeout(10):
            await arrived.wait()
        await acked

    try:
        await deliver(0)
        yield deliver
    finally:
        loop.stop()
        await task
        await bus.close()
