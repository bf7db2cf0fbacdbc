"""All mutations. Those of the log, of submits, of attempts and of sessions are defined here."""

from tests.chaos.delivery_mutations import DELIVERY_MUTATIONS
from tests.chaos.mutation import Mutation, one_patch

_COMMANDS, _DISPATCH = "services/command/commands/functions/", "services/command/dispatch/functions/"
_SESSIONS, _EVENTS = "services/session/sessions/functions/", "services/session/events/functions/"
_SUBMIT, _RESOLVE = _COMMANDS + "submit.sql", _COMMANDS + "resolve_submits.sql"
_KEYS, _TAKEN = "libs/idempotency/functions/take.sql", "libs/idempotency/functions/answer_taken.sql"
_CLAIM, _RESOLVE_CLAIMS = _DISPATCH + "claim.sql", _DISPATCH + "resolve_claims.sql"
_FINISH, _RESOLVE_FINISHES = _DISPATCH + "finish.sql", _DISPATCH + "resolve_finishes.sql"
_REPORT, _ADVANCE = _DISPATCH + "report.sql", _SESSIONS + "advance_stop.sql"
_LEASE, _TAIL = "services/runner/leases/service.py", "services/session/events/tail.py"
_EXPIRY = 'raise LeaseLostError("the lease expired before it was renewed")'

MUTATIONS = (
    Mutation(
        "the writes of a paused runner are not fenced",
        (
            (_RESOLVE_FINISHES, " and c.lease_token = i.token and c.state = 'running'", " and c.state = 'running'"),
            (_REPORT, " and c.lease_token = i.token and c.state = 'running'", " and c.state = 'running'"),
            (_FINISH, "where c.ctid = h.at and c.lease_token = h.token and", "where c.ctid = h.at and"),
            (_REPORT, "where c.ctid = l.at and c.lease_token = l.token and", "where c.ctid = l.at and"),
            (_LEASE, _EXPIRY, "await asyncio.Event().wait()"),
        ),
        "F2",
        frozenset({"I2", "I3"}),
        40.0,
    ),
    one_patch(
        "idempotency keys expire at once",
        _KEYS,
        "where k.expires_at < v_now or",
        "where true or",
        "F7",
        "I9",
        "I13",
    ),
    one_patch(
        "another body with a used key is accepted",
        _TAKEN,
        "when k.hash <> i.hash then",
        "when false then",
        "F2",
        "I9",
    ),
    one_patch(
        "sequence numbers are counted twice",
        _EVENTS + "append_locked.sql",
        "set last_seq = h.last_seq +",
        "set last_seq = h.last_seq + 1 +",
        "F2",
        "I4",
        "I5",
    ),
    one_patch(
        "a gap in the notifications is not read",
        _TAIL,
        "        self._known = max(self._known, last)\n        if not self.next",
        "        self._known = max(self._known, last)\n        self.next = self.next and max(self.next, first)\n"
        "        if not self.next",
        "F4",
        "I5",
    ),
    one_patch(
        "an attempt number is skipped",
        _CLAIM,
        "set state = 'running', attempt = c.attempt + 1,",
        "set state = 'running', attempt = c.attempt + 2,",
        "F2",
        "I3",
    ),
    one_patch(
        "charges are not counted",
        _FINISH,
        "charged = c.charged + h.is_charged::integer,",
        "charged = c.charged,",
        "F2",
        "I3",
        "I6",
    ),
    one_patch(
        "failed commands get no dead letter",
        _FINISH,
        "from item h where h.final = 'failed'\n  ), events",
        "from item h where false\n  ), events",
        "F2",
        "I6",
    ),
    one_patch(
        "a stop does not wait for commands",
        _ADVANCE,
        "if v_cancel.open_commands = 0 then",
        "if true then",
        "F2",
        "I2",
        "I7",
        "I8",
    ),
    Mutation(
        "an agent has several sessions",
        (
            (_SESSIONS + "start_one.sql", "if v_agent.exclusive then", "if false then"),
            (
                "libs/db/migrations/0001_baseline/03_session_tables.sql",
                "create unique index sessions_live on",
                "create index sessions_live on",
            ),
        ),
        "F24",
        frozenset({"I8"}),
    ),
    one_patch(
        "a start's key is not kept",
        _SESSIONS + "start.sql",
        "if (v_taken[v_index]).code <> 'taken' then",
        "if false then",
        "F2",
        "I9",
    ),
    one_patch(
        "a cursor's own event comes again",
        "services/session/events/scopes.py",
        "self.after = wanted.at",
        "self.after = max(0, wanted.at - 1)",
        "F2",
        "I5",
    ),
    one_patch(
        "ordering keys have no effect", _SUBMIT, "r.ordering_key is not null and (", "false and (", "F2", "order"
    ),
    one_patch(
        "cancelled commands stay ready for dispatch",
        _COMMANDS + "cancel_open.sql",
        "where d.tenant_id = p_tenant and d.command_id = any (array(select k.command_id from chosen k))",
        "where d.tenant_id = p_tenant and false",
        "F2",
        "I1",
        "I11",
    ),
    one_patch(
        "a submit leaves no event",
        _SUBMIT,
        "from resolved r where r.code = 'ok'\n    union all",
        "from resolved r where r.code = 'ok' and r.ord % 50 <> 1\n    union all",
        "F2",
        "I13",
    ),
    one_patch(
        "a cancel is forgotten at the end",
        _RESOLVE_FINISHES,
        "when c.cancel_requested_at is not null then 'cancelled' else i.outcome end",
        "else i.outcome end",
        "F2",
        "I1",
        "I2",
    ),
    one_patch(
        "a cancel before its command is forgotten",
        _KEYS,
        "note = case when k.expires_at >= v_now then k.note end, expires_at",
        "note = null, expires_at",
        "F2",
        "I2",
    ),
    Mutation(
        "a stopping session starts commands",
        (
            (_RESOLVE_CLAIMS, "when o.state is distinct from 'active' then", "when o.state is null then"),
            # So that commands are left to start: with this, only a forced stop cancels waiting commands.
            (_ADVANCE, "p_session_uid, 500, p_force", "p_session_uid, 500 * p_force::integer, p_force"),
        ),
        "F2",
        frozenset({"I7"}),
    ),
    *DELIVERY_MUTATIONS,
)
