"""Publishes dispatches to a JetStream stream."""

import time
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID, uuid4

import orjson
import structlog

from libs.bus import (
    BrokerRefusedError,
    Bus,
    BusError,
    ConsumerMissingError,
    Message,
    PubAck,
    Publisher,
    StreamMissingError,
    Streams,
)
from libs.dispatches import (
    COMMANDS,
    MAX_PER_DISPATCH,
    PROBE_SUBJECT,
    STREAMS,
    dead_letter_subject,
    dispatch_subject,
    encode_dispatch,
    runner_consumer,
)
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import (
    BrokerAwayError,
    ConsumerPosition,
    PendingPublication,
    Published,
)

_log = structlog.get_logger(__name__)

_BROKEN_SECONDS = 10.0
_KEPT_SECONDS = 60.0


class JetStreamBroker:
    """Publishes the ids of commands. Remembers the stream's epoch and the highest sequence that it acknowledged."""

    def __init__(self, bus: Bus) -> None:
        self._streams = Streams(bus)
        self._publisher = Publisher(bus)
        self._epoch = ""
        self._highest = 0
        self._failing_since: float | None = None
        self._floors: deque[tuple[float, int]] = deque()

    @property
    def stores(self) -> bool:
        """Whether the stream stored the last message."""
        return bool(self._epoch) and self._failing_since is None

    async def ensure(self) -> str:
        """Create missing streams, check that they store messages, and return the epoch of the dispatches' stream."""
        try:
            await self._replace_broken()
            epochs = {spec.name: await self._streams.ensure_stream(spec) for spec in STREAMS}
            highest = self._highest  # read first: a publish in the meantime may exceed the state
            state = await self._streams.stream_state(COMMANDS.name)
        except BusError as error:
            raise self._away(error) from error
        created = epochs[COMMANDS.name]
        if self._epoch != created:
            _log.info("stream_epoch", epoch=created, before=self._epoch or None)
            self._epoch, self._highest = created, state.last_sequence
        elif state.last_sequence < highest:
            # The stream lost messages that it had acknowledged: it was restored from an older copy. Every replica finds
            # the lost dispatches by the positions of the consumers (rule 6).
            _log.warning("stream_rolled_back", epoch=created, last=state.last_sequence, highest=highest)
            self._highest = state.last_sequence
        await self._probe()
        return self._epoch

    async def _probe(self) -> None:
        """Publish an empty message and read it back.

        A broker whose disk is full reports no error and lists its streams, but stores nothing (failures, row 27).
        """
        began = time.monotonic()
        try:
            ack = await self._publisher.publish(PROBE_SUBJECT, b"", uuid4().hex)
            kept = await self._streams.read_message(COMMANDS.name, ack.sequence)
        except BusError as error:
            if self._failing_since is None:
                self._failing_since = began
                _log.warning("stream_stores_nothing", error=str(error))
            raise BrokerAwayError(f"the stream stores nothing: {error}") from error
        if kept is not None:  # otherwise another replica has already trimmed it
            self._highest = max(self._highest, ack.sequence)
        if self._failing_since is not None:
            _log.info("stream_stores_again", failed_for=round(time.monotonic() - self._failing_since, 1))
            self._failing_since = None

    async def _replace_broken(self) -> None:
        """Delete a stream that has stored nothing for a while. The new stream's epoch makes every dispatch due again.

        After a failed write (a full disk), nats-server 2.15 rejects or ignores all later writes, even when there is
        room again and after a purge. Only a new stream stores messages (measured). Deleting the old stream loses
        nothing, because the database has every waiting command.
        """
        since = self._failing_since
        if since is None or time.monotonic() - since <= _BROKEN_SECONDS:
            return
        self._failing_since = None
        try:
            found = await self._streams.stream_state(COMMANDS.name)
        except StreamMissingError:
            return
        if found.epoch == self._epoch:  # no other replica has replaced it yet
            _log.warning("stream_replaced", failed_for=round(time.monotonic() - since, 1))
            await self._streams.delete_stream(COMMANDS.name)

    def _away(self, error: BusError) -> BrokerAwayError:
        """Record whether the broker rejected a request, as with a broken stream, or only did not answer."""
        if not isinstance(error, BrokerRefusedError):
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = time.monotonic()
            _log.warning("stream_rejects_writes", error=str(error))
        return BrokerAwayError(str(error))

    async def publish(self, dispatches: Sequence[Dispatch]) -> list[Published]:
        """Publish dispatches and return those that the stream stored. The others become due again.

        One message carries up to 100 commands of a batch for the same runner.
        """
        if not self._epoch:
            return []
        groups: list[tuple[str, list[Dispatch]]] = []
        for subject, found in groupby(sorted(dispatches, key=_subject), key=_subject):
            together = list(found)
            starts = range(0, len(together), MAX_PER_DISPATCH)
            groups += [(subject, together[start : start + MAX_PER_DISPATCH]) for start in starts]
        acks = await self._publisher.publish_many([_message(subject, group) for subject, group in groups])
        published = []
        for (_, group), ack in zip(groups, acks, strict=True):
            if isinstance(ack, PubAck):
                self._highest = max(self._highest, ack.sequence)
                published += [Published(dispatch, ack.sequence, self._epoch) for dispatch in group]
            else:
                _log.info("dispatch_not_stored", error=str(ack), commands=len(group))
        return published

    async def position(self, runner_id: UUID, priority: int) -> ConsumerPosition | None:
        """Return the position of a runner's consumer, None when it does not exist."""
        try:
            state = await self._streams.consumer_state(COMMANDS.name, runner_consumer(runner_id, priority).name)
        except (ConsumerMissingError, StreamMissingError):
            return None
        except BusError as error:
            raise self._away(error) from error
        return ConsumerPosition(
            state.ack_floor_stream_seq, state.delivered_stream_seq, state.num_ack_pending, state.num_pending
        )

    async def publish_dead_letters(self, dead_letters: Sequence[PendingPublication]) -> list[PendingPublication]:
        """Publish dead letters and return those that the stream stored."""
        messages = [
            Message(
                dead_letter_subject(one.tenant_id, one.reason),
                orjson.dumps(
                    {"commandId": one.command_id, "agentId": one.agent_id, "sessionId": one.session_id,
                     "type": one.type, "reason": one.reason}
                ),
                str(one.command_id),
            )
            for one in dead_letters
        ]  # fmt: skip
        acks = await self._publisher.publish_many(messages)
        return [one for one, ack in zip(dead_letters, acks, strict=True) if isinstance(ack, PubAck)]

    async def trim(self) -> None:
        """Remove dispatches that every consumer has settled, after a delay.

        A dispatch that reached its delivery limit counts as settled at once, but is still read for its advisory.
        """
        highest = self._highest  # read first: a publish in the meantime has a higher sequence
        now = time.monotonic()
        try:
            consumers = await self._streams.list_consumers(COMMANDS.name)
            # A consumer with nothing to deliver does not hold back the floor, however old its last message is.
            floors = [c.ack_floor_stream_seq if c.num_pending or c.num_ack_pending else highest for c in consumers]
            floor = min(floors, default=highest)
            self._floors.append((now, floor))
            before = 0
            while self._floors and self._floors[0][0] <= now - _KEPT_SECONDS:
                before = self._floors.popleft()[1]
            await self._streams.purge_below(COMMANDS.name, min(before, floor))  # a rollback lowers the floor
        except BusError as error:
            raise self._away(error) from error


def _subject(dispatch: Dispatch) -> str:
    return dispatch_subject(dispatch.tenant_id, dispatch.priority, dispatch.partition, dispatch.runner_id)


def _message(subject: str, group: Sequence[Dispatch]) -> Message:
    """Return a message whose id is the same for a second try, and different for another dispatch.

    The stream drops a message whose id it has already stored (failures, row 3).
    """
    first = group[0]
    ids = [(dispatch.command_id, dispatch.dispatch_no) for dispatch in group]
    return Message(subject, encode_dispatch(ids), f"{first.command_id}:{first.dispatch_no}:{len(group)}")
