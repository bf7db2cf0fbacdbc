"""Mutations of the delivery of commands to runners, and of their execution there."""

from tests.chaos.mutation import Mutation, one_patch

_SOURCE, _COMMANDS = "services/runner/sources/jetstream.py", "services/command/commands/store.py"
_EXPIRY = 'raise LeaseLostError("the lease expired before it was renewed")'
_DISPATCH = "services/command/dispatch/queries.sql"
_RECONCILER = "services/command/dispatch/reconciler.py"

DELIVERY_MUTATIONS = (
    one_patch(
        "published dispatches are lost with the stream",
        _DISPATCH,
        "(r.epoch is distinct from %(epoch)s or r.published_seq <= %(upto)s)",
        "r.epoch is null and %(epoch)s <> '' and %(upto)s < 0",
        "F5",
        "I1",
        seconds=40.0,
    ),
    one_patch(
        "dead runners keep their commands",
        _DISPATCH,
        "where dead_at is null and lease_until < clock_timestamp() returning",
        "where false returning",
        "F2",
        "I1",
    ),
    one_patch(
        "dead letters are not published",
        _RECONCILER,
        "await self._store.mark_dead_letters_published(published)",
        "pass",
        "F2",
        "I11",
    ),
    Mutation(
        "a command is dispatched before it is stored",
        (
            (
                _COMMANDS,
                "        self._partitions: dict",
                "        self._runner: UUID | None = None\n        self._partitions: dict",
            ),
            (
                _COMMANDS,
                "        batch, indexes = folded(items)\n",
                "        batch, indexes = folded(items)\n"
                "        if self._runner:\n"
                "            early = [(item.body['priority'], UUID(item.body['id'])) for item in batch]\n"
                "            self._dispatches.enqueue(\n"
                "                [Dispatch(tenant_id, partition, level, self._runner, id_, 1)\n"
                "                 for level, id_ in early]\n"
                "            )\n",
            ),
            (
                _COMMANDS,
                "        rows[0].announce(self._notifier, tenant_id, partition)\n        failpoint",
                "        self._runner = rows[0].runner_id or self._runner\n"
                "        rows[0].announce(self._notifier, tenant_id, partition)\n        failpoint",
            ),
        ),
        "F2",
        frozenset({"I13"}),
    ),
    Mutation(
        "a dispatch is acked before its claim is decided",
        (
            (
                _SOURCE,
                "        if not pairs:\n            delivery.ack()\n",
                "        delivery.ack()\n",
            ),
            (_SOURCE, "            self.delivery.ack()", "            pass"),
            # So that one lost claim suffices.
            ("services/runner/attempts/service.py", "waits = iter(_CLAIM_WAITS)", "waits = iter(())"),
            # So that the reconciler does not detect the acknowledged dispatch.
            (_DISPATCH, "or r.published_seq <= %(upto)s)", "or r.published_seq <= %(upto)s and false)"),
        ),
        "F15",
        frozenset({"I1"}),
        40.0,
    ),
    Mutation(
        "the heartbeat of a dead runner is accepted",
        (
            (
                "services/runner/leases/queries.sql",
                "\nwhere runner_id = %s and dead_at is null;",
                "\nwhere runner_id = %s;",
            ),
            ("services/runner/leases/service.py", _EXPIRY, "await asyncio.Event().wait()"),
        ),
        "F2",
        frozenset({"I1", "I11"}),
        40.0,
    ),
)
