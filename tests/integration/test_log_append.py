"""`session.append_events` keeps the log's promises under races, rollbacks and killed backends."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from libs.notifications import decode_notification, encode_notification
from services.session.events.model import events_of_lines

PARTITION = 3
APPEND = "select * from session.append_events('acme', %s::smallint, %s::session.new_event[])"
LINES = """
    select session.event_line(e.position, e.seq, e.session_uid, e.event_id, e.type, e.level, e.session_id, e.agent_id,
                              e.command_id, e.correlation_id, e.actor, e.address,
                              (extract(epoch from e.created_at) * 1000000)::bigint, e.payload), e.link
    from session.events e where e.tenant_id = 'acme' and e.partition = %s order by e.position
"""


@dataclass
class Log:
    """The owner's connections to a database with a tenant and some sessions without agents."""

    url: str
    sessions: list[UUID]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            yield connection

    async def rows(self, query: str, *parameters: Any) -> list[Any]:
        async with self.connection() as connection:
            cursor = await connection.execute(query.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def add_session(self, partition: int = PARTITION, tenant: str = "acme") -> UUID:
        uid = uuid4()
        await self.rows(
            "insert into session.heads (tenant_id, session_uid, partition, session_id, agent_id, state, first_bucket)"
            " values (%s, %s, %s, %s, 'clock', 'active', 0)", tenant, uid, partition, f"ses-{uid.hex}",
        )  # fmt: skip
        return uid


def batch(*events: tuple[UUID, str]) -> list[str]:
    """Events as rows of the composite type, which differ in uid and payload."""
    quoted = [(uid, payload.replace("\\", "\\\\").replace('"', '\\"')) for uid, payload in events]
    return [f'({uid},iteration,1,,cor,key:k,"","{payload}")' for uid, payload in quoted]


@pytest.fixture
async def log(database_url: str) -> Log:
    made = Log(database_url, [])
    await made.rows("select session.ensure_tenant('acme')")
    made.sessions += [await made.add_session() for _ in range(4)]
    return made


async def test_positions_and_seqs_have_no_gaps_after_rollbacks_and_kills(log: Log) -> None:
    committed = 0

    async def write(number: int) -> int:
        draw = random.Random(number)
        done = 0
        for _ in range(25):
            events = batch(*((draw.choice(log.sessions), "{}") for _ in range(draw.randint(1, 5))))
            async with await psycopg.AsyncConnection.connect(log.url) as connection:
                try:
                    await connection.execute(APPEND, (PARTITION, events))
                    if draw.random() < 0.2:
                        await connection.rollback()
                    elif draw.random() < 0.2:
                        await connection.execute("select pg_terminate_backend(pg_backend_pid())")
                    else:
                        await connection.commit()
                        done += len(events)
                except psycopg.OperationalError:
                    await connection.close()
        return done

    committed = sum(await asyncio.gather(*(write(number) for number in range(6))))
    positions = [row[0] for row in await log.rows("select position from session.events order by position")]
    assert positions == list(range(1, committed + 1))
    assert (await log.rows("select position from session.log where partition = %s", PARTITION))[0][0] == committed
    for uid in log.sessions:
        seqs = [r[0] for r in await log.rows("select seq from session.events where session_uid = %s order by 1", uid)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert (await log.rows("select last_seq from session.heads where session_uid = %s", uid))[0][0] == len(seqs)
    by_position = await log.rows("select session_uid, seq from session.events order by position")
    for uid in log.sessions:  # seq follows the order of commits
        assert [seq for owner, seq in by_position if owner == uid] == sorted(s for o, s in by_position if o == uid)


@pytest.mark.parametrize("which", ["unknown", "of another partition", "of another tenant"])
async def test_event_of_an_unknown_session_aborts_the_whole_batch(log: Log, which: str) -> None:
    await log.rows("select session.ensure_tenant('other')")
    stranger = {
        "unknown": uuid4(),
        "of another partition": await log.add_session(PARTITION + 1),
        "of another tenant": await log.add_session(PARTITION, "other"),
    }[which]
    with pytest.raises(psycopg.Error) as caught:
        await log.rows(APPEND, PARTITION, batch((log.sessions[0], "{}"), (stranger, "{}")))
    assert caught.value.sqlstate == "CB002"
    assert await log.rows("select count(*) from session.events") == [(0,)]
    assert await log.rows("select max(position) from session.log") == [(0,)]
    assert await log.rows("select max(last_seq) from session.heads") == [(0,)]


async def test_append_to_an_unknown_tenant_is_rejected(log: Log) -> None:
    with pytest.raises(psycopg.Error) as caught:
        await log.rows("select session.append_events('nobody', 1::smallint, '{}')")
    assert caught.value.sqlstate == "CB001"


async def test_append_of_no_events_does_nothing(log: Log) -> None:
    nothings: list[list[str] | None] = [[], None]
    for nothing in nothings:
        assert await log.rows(APPEND, PARTITION, nothing) == [(None, None, None, None)]


async def test_append_returns_the_numbers_of_the_stored_events(log: Log) -> None:
    first, second = log.sessions[:2]
    await log.rows(APPEND, PARTITION, batch((first, "{}")))
    (answer,) = await log.rows(APPEND, PARTITION, batch((first, "1"), (second, "2"), (first, "3")))
    assert answer[:3] == (2, 4, [2, 1, 3])
    stored = await log.rows("select position, seq, payload from session.events where position > 1 order by position")
    assert stored == [(2, 2, "1"), (3, 1, "2"), (4, 3, "3")]


async def test_notification_contains_the_events_as_stored(log: Log) -> None:
    payload = '{"text": "ünïcode \\\\u0041 line\\\\n \u2028 \\\\"}'
    (answer,) = await log.rows(APPEND, PARTITION, batch((log.sessions[0], payload), (log.sessions[1], "{}")))
    first, last, lines = decode_notification(encode_notification(answer[0], answer[1], answer[3]))
    notified = events_of_lines(lines)
    stored = await log.rows("select position, seq, event_id::text, payload from session.events order by position")
    assert (first, last) == (1, 2)
    assert [(e.position, e.seq, e.event_id, e.payload) for e in notified] == stored


async def test_notification_of_a_large_batch_omits_the_events(log: Log) -> None:
    (small,) = await log.rows(APPEND, PARTITION, batch((log.sessions[0], "x" * 60_000)))
    (large,) = await log.rows(APPEND, PARTITION, batch((log.sessions[0], "x" * 66_000)))
    assert small[3] is not None
    assert large[3] is None
    assert decode_notification(encode_notification(large[0], large[1], large[3])) == (2, 2, b"")


async def test_hash_chain_can_be_verified_by_recomputing_it(log: Log) -> None:
    for size in (1, 3, 2, 7):
        await log.rows(APPEND, PARTITION, batch(*((log.sessions[i % 4], f'{{"i":{i}}}') for i in range(size))))
    assert await broken_link(log) is None
    assert (await log.rows("select head from session.log where partition = %s", PARTITION))[0][0] == await last_link(
        log
    )


async def test_hash_chain_does_not_depend_on_the_time_zone_of_the_reader(log: Log) -> None:
    await log.rows(APPEND, PARTITION, batch((log.sessions[0], "{}")))
    await log.rows(f"alter database {log.url.rpartition('/')[2]} set timezone = 'Asia/Kathmandu'")
    await log.rows(APPEND, PARTITION, batch((log.sessions[0], "{}")))
    assert await broken_link(log) is None


@pytest.mark.parametrize(
    "tamper",
    [
        "update session.events set payload = '{\"forged\": true}' where position = 3",
        "update session.events set actor = 'key:other' where position = 5",
        "delete from session.events where position = 2",
        "update session.events set position = case position when 3 then 4 else 3 end where position in (3, 4)",
        "update session.events set created_at = created_at + interval '1 microsecond' where position = 6",
    ],
)
async def test_edit_removal_or_reordering_breaks_the_hash_chain(log: Log, tamper: str) -> None:
    for _ in range(3):
        await log.rows(APPEND, PARTITION, batch((log.sessions[0], "{}"), (log.sessions[1], "{}")))
    async with log.connection() as connection:
        await connection.execute("set session_replication_role = replica")  # no role of the services may do this
        if "case position" in tamper:
            await connection.execute("update session.events set position = -position where position in (3, 4)")
            tamper = "update session.events set position = case position when -3 then 4 else 3 end where position < 0"
        await connection.execute(tamper.encode())
    assert await broken_link(log) is not None


async def test_readers_see_the_positions_of_a_partition_in_order(log: Log) -> None:
    stop = asyncio.Event()
    seen: list[list[int]] = []

    async def read() -> None:
        async with log.connection() as connection:
            while not stop.is_set():
                cursor = await connection.execute("select position from session.events order by position")
                seen.append([row[0] for row in await cursor.fetchall()])

    async def write() -> None:
        async with log.connection() as connection:
            for _ in range(40):
                await connection.execute(APPEND, (PARTITION, batch((random.choice(log.sessions), "{}"))))

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(4)))
    stop.set()
    await reading
    assert all(positions == list(range(1, len(positions) + 1)) for positions in seen)


async def test_new_week_starts_a_segment_and_a_clock_set_back_does_not(log: Log) -> None:
    await log.rows(APPEND, PARTITION, batch((log.sessions[0], "{}")))
    await log.rows("update session.log set bucket = bucket - 1")
    await log.rows("update session.segments set bucket = bucket - 1")
    await log.rows(APPEND, PARTITION, batch((log.sessions[0], "{}")))
    (week,) = (await log.rows("select session.bucket_of(clock_timestamp())"))[0]
    segments = "select bucket, first_position from session.segments where partition = %s order by 1"
    assert await log.rows(segments, PARTITION) == [(week - 1, 1), (week, 2)]
    await log.rows(
        "update session.log set bucket = bucket + 1 where partition = %s", PARTITION
    )  # as if the clock had been ahead
    await log.rows("insert into session.segments values ('acme', %s, %s, 3)", PARTITION, week + 1)
    await log.rows(APPEND, PARTITION, batch((log.sessions[0], "{}")))
    assert await log.rows("select bucket from session.events where position = 3") == [(week + 1,)]


async def broken_link(log: Log) -> int | None:
    """Recomputes the chain; the number of the first batch whose link differs or is missing."""
    head, lines, number = b"", list[str](), 0
    for line, link in await log.rows(LINES, PARTITION):
        lines.append(line)
        if link is not None:
            number += 1
            head = hashlib.sha256(head + "\n".join(lines).encode()).digest()
            lines.clear()
            if head != link:
                return number
    return number + 1 if lines else None


async def last_link(log: Log) -> bytes:
    found = await log.rows("select link from session.events where link is not null order by position desc limit 1")
    return bytes(found[0][0])
