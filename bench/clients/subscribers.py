"""A process with many streams. It counts the events that arrive and measures their latency.

Configured by BENCH_ADDRESS, BENCH_METHOD (a path), BENCH_REQUEST (hex), BENCH_KEY and BENCH_STREAMS. It prints `ready`
once every stream has received its first message. For each line `<n>` on its input it prints `go`, waits until every
stream has received n more events of the benchmark, and prints a line of JSON: `end`, the time of the last event, and
`p50_ms`, the median latency since the events' `t`. It exits at the end of its input.
"""

import asyncio
import os
import sys
import time

import grpc
import orjson
import uvloop

from bench.stats import percentile
from callboard.events.v1.events_pb2 import StreamEventsResponse

EVENT_TYPE = "custom.bench"
STREAMS_PER_CHANNEL = 50
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


class Subscribers:
    """The streams, and the events received since the last `reset`."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.begun = 0
        self._count = 0
        self._expected = -1
        self._latencies: list[float] = []
        self.changed = asyncio.Event()
        self._end = 0.0

    def reset(self, events: int) -> None:
        """Start to count again, and expect `events` events on each stream."""
        self._count, self._expected, self._latencies = 0, events * self.streams, []

    async def result(self) -> dict[str, float]:
        """Wait until all expected events have arrived."""
        while self._count < self._expected:
            self.changed.clear()
            await self.changed.wait()
        return {"end": self._end, "p50_ms": percentile(self._latencies, 0.5)}

    async def follow(self, channel: grpc.aio.Channel) -> None:
        """Read one stream."""
        metadata = (("authorization", f"Bearer {os.environ['BENCH_KEY']}"),)
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(os.environ["BENCH_METHOD"])
        call = method(bytes.fromhex(os.environ["BENCH_REQUEST"]), metadata=metadata)
        first = True
        try:
            async for raw in call:
                if first:
                    first = False
                    self.begun += 1
                    self.changed.set()
                if raw != b"ready":
                    self._take(StreamEventsResponse.FromString(raw))
        finally:
            call.cancel()

    def _take(self, response: StreamEventsResponse) -> None:
        ours = [streamed.event for streamed in response.batch.events if streamed.event.type == EVENT_TYPE]
        if not ours:
            return
        now = time.time()
        self._latencies += [(now - orjson.loads(event.payload_json)["t"]) * 1000 for event in ours]
        self._count += len(ours)
        if self._count >= self._expected:
            self._end = now
            self.changed.set()


async def serve() -> None:
    """Run until the input ends."""
    subscribers = Subscribers(int(os.environ["BENCH_STREAMS"]))
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    count = -(-subscribers.streams // STREAMS_PER_CHANNEL)
    channels = [grpc.aio.insecure_channel(os.environ["BENCH_ADDRESS"], options=_OPTIONS) for _ in range(count)]
    tasks = [asyncio.create_task(subscribers.follow(channels[i % count])) for i in range(subscribers.streams)]
    while subscribers.begun < subscribers.streams:
        subscribers.changed.clear()
        await subscribers.changed.wait()
    print("ready", flush=True)
    while line := await lines.readline():
        subscribers.reset(int(line))
        print("go", flush=True)
        print(orjson.dumps(await subscribers.result()).decode(), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(serve())
