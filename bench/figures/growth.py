"""How the rates of append and submit change from 10^3 to 10^5 rows (10^6 with --full, 10^4 with --quick), on a separate
suite.

At each size the tables of events and commands have at least so many rows: events from `AppendEvents` calls of 1,000,
and commands copied from a finished one in the database. Then events are appended and commands submitted, 100 in a call,
with the runner suspended. The floor's column is the rate at 10^3 rows.
"""

from collections.abc import Sequence

from bench.figure import Survey
from bench.figures.event_append import append_request
from bench.load import Load, running_load
from bench.rig import Rig
from bench.stats import Row
from bench.timing import burst

IN_FLIGHT = 4
_PER_CALL = 1000
_COPIES = b"""
with one as materialized (select c from command.commands c where c.state = 'succeeded' limit 1)
insert into command.commands
select (jsonb_populate_record(one.c, jsonb_build_object('command_id', gen_random_uuid()))).*
from one, generate_series(1, %s)
"""


async def _fill(rig: Rig, load: Load, rows: int) -> None:
    """Fill the tables of events and commands up to `rows` rows."""
    async with await rig.database() as connection:
        cursor = await connection.execute(
            b"select (select sum(last_seq) from session.heads)::bigint, (select count(*) from command.commands)"
        )  # fmt: skip
        events, commands = await cursor.fetchone() or (0, 0)
        calls = max(0, -(-(rows - events) // _PER_CALL))
        requests = [append_request(session, _PER_CALL) for session in load.sessions]
        if calls:
            append = rig.client.events.AppendEvents
            await burst(calls, IN_FLIGHT, lambda number: append(requests[number % len(requests)]))
        await connection.execute(_COPIES, (max(0, rows - commands),))
        await connection.execute(b"analyze command.commands")


async def _rates(rig: Rig, load: Load) -> tuple[float, float]:
    appends, submits = rig.size(10, 60), rig.size(6, 20)
    requests = [append_request(session, 100) for session in load.sessions]
    append = rig.client.events.AppendEvents
    appended = 100 * await burst(appends, IN_FLIGHT, lambda number: append(requests[number % len(requests)]))
    with rig.runner_suspended():
        submitted = 100 * await burst(submits, IN_FLIGHT, load.submit_many)
    await load.drained()
    return appended, submitted


async def _take(rig: Rig) -> Sequence[Row]:
    rows: list[Row] = []
    base = (0.0, 0.0)
    async with running_load(rig, IN_FLIGHT) as load:
        await load.submit_many(0, 10)
        await load.drained()
        for power in range(3, 7 if rig.full else 5 if rig.quick else 6):
            await _fill(rig, load, 10**power)
            await _rates(rig, load)
            taken = [await _rates(rig, load) for _ in range(3)]
            appended, submitted = ([each[side] for each in taken] for side in (0, 1))
            base = base if rows else (sorted(appended)[1], sorted(submitted)[1])
            for what, ours, at_first in (("append", appended, base[0]), ("submit", submitted, base[1])):
                title = f"{what} 100 to a call at 10^{power} rows"
                rows.append(Row(f"growth_{what}_{power}", title, "/s", ours, [at_first], "the rate at 10^3 rows"))
    return rows


GROWTH = Survey(name="growth", take=_take, alone=True)
