"""Faults put into the code itself, so that the checker has something to find.

Each is a patch of a copy of the source tree. If a run of it is called sound, the checker is blind there.
"""

from dataclasses import dataclass

_SQL = "libs/db/migrations/sql/0001/"


@dataclass(frozen=True)
class Mutation:
    """Replaces `old` by `new` in the files; the run of these faults must violate one of the rules."""

    name: str
    patches: tuple[tuple[str, str, str], ...]
    faults: str
    rules: frozenset[str]
    seconds: float = 25.0


def _one(name: str, file: str, old: str, new: str, faults: str, *rules: str) -> Mutation:
    return Mutation(name, ((file, old, new),), faults, frozenset(rules))


_RUN, _SUBMIT, _STOP = _SQL + "07_command_run.sql", _SQL + "06_command_submit.sql", _SQL + "08_command_stop.sql"
_LOG, _LIFE = _SQL + "04_session_log.sql", _SQL + "09_session_lifecycle.sql"
_DISPATCH = "services/command/store/dispatch.sql"
_RECONCILER, _TAIL = "services/command/operations/reconciler.py", "services/session/operations/tail.py"

_ALIVE = "('created', 'active', 'paused', 'stopping')"

MUTATIONS = (
    Mutation(
        "a paused runner's ends are not fenced",
        (
            (_RUN, " and c.lease_token = i.token and c.state = 'running'", " and c.state = 'running'"),
            (_RUN, "where c.ctid = h.at and c.lease_token = h.token and", "where c.ctid = h.at and"),
            (_RUN, "where c.ctid = l.at and c.lease_token = l.token and", "where c.ctid = l.at and"),
            ("services/command/runner/runner.py", "if began - renewed > self._limits.lease:", "if False:"),
        ),
        "F2",
        frozenset({"I2", "I3"}),
        40.0,
    ),
    _one("a key does not hold", _SUBMIT, "where k.expires_at < clock_timestamp()", "where true", "F7", "I9", "I13"),
    _one(
        "another body with a key is taken",
        _SUBMIT,
        "when k.command_id <> i.id and k.hash = decode(i.hash, 'hex') then",
        "when k.command_id <> i.id then",
        "F2",
        "I9",
    ),
    _one(
        "numbers are counted twice",
        _LOG,
        "set last_seq = h.last_seq +",
        "set last_seq = h.last_seq + 1 +",
        "F2",
        "I4",
        "I5",
    ),
    _one(
        "a hole in the hints is not read",
        _TAIL,
        "        self._known = max(self._known, last)\n        if not self.next",
        "        self._known = max(self._known, last)\n        self.next = self.next and max(self.next, first)\n"
        "        if not self.next",
        "F4",
        "I5",
    ),
    _one(
        "what is published is lost with the stream",
        _DISPATCH,
        "(r.epoch is distinct from %(epoch)s or r.published_seq <= %(upto)s)",
        "r.epoch is null and %(epoch)s <> '' and %(upto)s < 0",
        "F5",
        "I1",
    ),
    _one(
        "dead runners keep what they held",
        _DISPATCH,
        "where dead_at is null and lease_until < clock_timestamp() returning",
        "where false returning",
        "F2",
        "I1",
    ),
    _one(
        "an attempt has the number after next",
        _RUN,
        "set state = 'running', attempt = c.attempt + 1,",
        "set state = 'running', attempt = c.attempt + 2,",
        "F2",
        "I3",
    ),
    _one(
        "charges are not counted",
        _RUN,
        "charged = c.charged + (h.charged and h.final <> 'released')::integer,",
        "charged = c.charged,",
        "F2",
        "I3",
        "I6",
    ),
    _one(
        "the dead have no letter",
        _RUN,
        "from held h where h.final = 'failed'\n  ), told",
        "from held h where false\n  ), told",
        "F2",
        "I6",
    ),
    _one(
        "a stop waits for nobody", _LIFE, "if v_cancel.open_commands = 0 then", "if true then", "F2", "I2", "I7", "I8"
    ),
    Mutation(
        "an agent has several sessions",
        (
            (_LIFE, "if not v_agent.concurrent then", "if false then"),
            (_SQL + "03_session_tables.sql", "create unique index sessions_live on", "create index sessions_live on"),
        ),
        "F24",
        frozenset({"I8"}),
    ),
    _one(
        "a start's key is not kept",
        _LIFE,
        "v_codes[v_index] := session.take_key(p_tenant, 'start',",
        "perform session.take_key(p_tenant, 'start',",
        "F2",
        "I9",
    ),
    _one(
        "a cursor's own event comes again",
        "services/session/operations/follow.py",
        "self.after = wanted.at",
        "self.after = max(0, wanted.at - 1)",
        "F2",
        "I5",
    ),
    _one(
        "an ordering key holds nobody back", _SUBMIT, "r.ordering_key is not null and (", "false and (", "F2", "order"
    ),
    _one(
        "what is stopped stays ready",
        _STOP,
        "where d.tenant_id = p_tenant and d.command_id = any (array(select k.command_id from chosen k))",
        "where d.tenant_id = p_tenant and false",
        "F2",
        "I1",
        "I11",
    ),
    _one(
        "a submit leaves no event",
        _SUBMIT,
        "from resolved r where r.code = 'ok'\n    union all",
        "from resolved r where r.code = 'ok' and r.ord % 50 <> 1\n    union all",
        "F2",
        "I13",
    ),
    _one(
        "a cancel is forgotten at the end",
        _RUN,
        "case when c.cancel_requested_at is not null then 'cancelled' else i.outcome end",
        "i.outcome",
        "F2",
        "I1",
        "I2",
    ),
    _one(
        "letters are not published",
        _RECONCILER,
        "await self._store.mark_letters(await self._broker.publish_letters(letters))",
        "pass",
        "F2",
        "I11",
    ),
)
