"""The stream of dispatches, over JetStream."""

import time
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

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
from services.command.broker.topology import (
    COMMANDS,
    MAX_PER_DISPATCH,
    STREAMS,
    dead_letter_subject,
    dispatch_subject,
    encode_dispatch,
    runner_consumer,
)
from services.command.ports.delivery import BrokerAwayError, ConsumerPlace, Letter, Published
from services.command.ports.dispatch import Dispatch

_log = structlog.get_logger(__name__)

_BROKEN_SECONDS = 5.0


class JetStreamBroker:
    """Publishes ids and nothing else; remembers the stream's epoch and the highest sequence that it gave."""

    def __init__(self, bus: Bus) -> None:
        self._streams = Streams(bus)
        self._publisher = Publisher(bus)
        self._epoch = ""
        self._highest = 0
        self._refused_since: float | None = None

    async def ensure(self) -> str:
        """Make the streams where they are missing and return the present epoch of the dispatches' one."""
        try:
            await self._replace_broken()
            epochs = {spec.name: await self._streams.ensure_stream(spec) for spec in STREAMS}
            state = await self._streams.stream_state(COMMANDS.name)
        except BusError as error:
            raise BrokerAwayError(str(error)) from error
        created = epochs[COMMANDS.name]
        if self._epoch != created:
            _log.info("stream_epoch", epoch=created, before=self._epoch or None)
            self._epoch, self._highest = created, state.last_sequence
        elif state.last_sequence < self._highest:
            # The stream lost what it had acknowledged: it was restored from an older copy. What it lost is found by the
            # places of its consumers, by every replica alike (rule 6).
            _log.warning("stream_rolled_back", epoch=created, last=state.last_sequence, highest=self._highest)
            self._highest = state.last_sequence
        return self._epoch

    async def _replace_broken(self) -> None:
        """Delete a stream that has refused everything for a while; it is made anew, and a new epoch dispatches again.

        After a write that failed (a full disk), nats-server 2.15 refuses all that follows, also once there is room and
        after a purge; only a new stream takes messages (measured). Nothing is lost with the old one: the truth is in
        the database.
        """
        since = self._refused_since
        if since is not None and time.monotonic() - since > _BROKEN_SECONDS:
            _log.warning("stream_made_anew", refused_for=round(time.monotonic() - since, 1))
            self._refused_since = None
            await self._streams.delete_stream(COMMANDS.name)

    async def publish(self, dispatches: Sequence[Dispatch]) -> list[Published]:
        """Publish dispatches and return those that were stored; the rest will be due again.

        Commands of a batch for the same runner travel in one message, up to 100 of them.
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
        if published:
            self._refused_since = None
        elif self._refused_since is None and any(isinstance(ack, BrokerRefusedError) for ack in acks):
            self._refused_since = time.monotonic()
        return published

    async def place(self, runner_id: UUID, priority: int) -> ConsumerPlace | None:
        """Return how far a runner's consumer is, None when it is not there."""
        try:
            state = await self._streams.consumer_state(COMMANDS.name, runner_consumer(runner_id, priority).name)
        except (ConsumerMissingError, StreamMissingError):
            return None
        except BusError as error:
            raise BrokerAwayError(str(error)) from error
        return ConsumerPlace(
            state.ack_floor_stream_seq, state.delivered_stream_seq, state.num_ack_pending, state.num_pending
        )

    async def publish_letters(self, letters: Sequence[Letter]) -> list[Letter]:
        """Publish dead letters and return those that were stored."""
        messages = [
            Message(
                dead_letter_subject(letter.tenant_id, letter.reason),
                orjson.dumps(
                    {"commandId": letter.command_id, "agentId": letter.agent_id, "sessionId": letter.session_id,
                     "type": letter.type, "reason": letter.reason}
                ),
                str(letter.command_id),
            )
            for letter in letters
        ]  # fmt: skip
        acks = await self._publisher.publish_many(messages)
        return [letter for letter, ack in zip(letters, acks, strict=True) if isinstance(ack, PubAck)]

    async def trim(self) -> None:
        """Remove dispatches that every consumer has settled."""
        highest = self._highest  # before the question: what is published meanwhile is above it
        try:
            consumers = await self._streams.list_consumers(COMMANDS.name)
            # A consumer with nothing to deliver holds back nothing, however low its own last message was.
            floors = [c.ack_floor_stream_seq if c.num_pending or c.num_ack_pending else highest for c in consumers]
            if floors:
                await self._streams.purge_below(COMMANDS.name, min(floors))
        except BusError as error:
            raise BrokerAwayError(str(error)) from error


def _subject(dispatch: Dispatch) -> str:
    return dispatch_subject(dispatch.tenant_id, dispatch.priority, dispatch.part, dispatch.runner_id)


def _message(subject: str, group: Sequence[Dispatch]) -> Message:
    first = group[0]
    ids = [(dispatch.command_id, dispatch.dispatch_no) for dispatch in group]
    return Message(subject, encode_dispatch(ids), f"{first.command_id}:{first.dispatch_no}:{len(group)}")
