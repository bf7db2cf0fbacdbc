"""The names of all failpoints. Each text says what has happened at that place and what has not.

A test compares them with the code: one line reaches each place, and each statement is in one file.
"""

from collections.abc import Mapping

PLACES: Mapping[str, str] = {
    "lifecycle.after_start_before_answer": "a session is started or found; the caller has no answer yet",
    "lifecycle.after_stop_begun": "a session is stopping or stopped; the stop has not been continued",
    "lifecycle.between_stop_steps": "one batch of a stop's commands is cancelled, the next is not",
    "lifecycle.after_stop_before_answer": "a session has ended; the caller of its stop has no answer yet",
    "lifecycle.after_restart_before_answer": "a session has ended, its successor runs; the caller has no answer yet",
    "lifecycle.between_finished_stops": "one abandoned stop is continued, the next is not",
    "events.after_append_before_answer": "events are appended and notified; the caller has no answer yet",
    "hub.after_subscribe_before_position": "notifications of a partition arrive; its position is not read yet",
    "tail.after_read_before_deliver": "events that no notification carried are read; no reader has them",
    "follow.between_storage_and_tail": "a reader has the stored events and no live ones yet",
    "commands.after_submit_before_enqueue": "commands are stored and notified; the dispatcher does not know of them",
    "commands.after_submit_before_answer": "a command is stored and enqueued; the caller has no answer yet",
    "dead_letters.after_requeue_before_answer": "a dead letter is requeued; the caller has no answer yet",
    "cancels.after_key_before_cancel": "the idempotency key of a cancel is stored; nothing is cancelled",
    "cancels.after_cancel_before_answer": "a command is cancelled or its runner notified; the caller has no answer yet",
    "dispatcher.after_due_before_publish": "due dispatches are reserved for this replica; none is published",
    "dispatcher.after_publish_before_mark": "due dispatches are in the stream; the database does not know",
    "dispatcher.before_enqueued_marked": "enqueued dispatches are in the stream; the database does not know",
    "reconciler.after_mark_dead_before_expiry": "runners are marked dead; they still hold their commands",
    "reconciler.between_expiries": "one command is taken from a dead runner, the next is not",
    "reconciler.after_freeing_before_notification": "connections of dead runners are free; no runner knows",
    "reconciler.after_redispatch_before_notification": "dispatches are due again; no dispatcher knows",
    "reconciler.after_dead_letters_before_mark": "dead letters are in their stream; the database does not know",
    "attempts.after_claim_before_settle": "a command is claimed; its delivery is not acked",
    "attempts.after_execution_before_finish": "a command was executed; its outcome is not stored",
    "runner.after_register_before_loops": "a runner is registered; its loops have not started",
    "runner.before_heartbeat": "a runner is about to renew its lease",
    "runner.before_release": "a claim whose answer was lost is found; it is not released",
    "connections.after_connect_before_report": "an agent is connected; the database does not know",
    "connections.after_loss_before_release": "a lost agent is cleaned up; its session still belongs to the runner",
    "connections.after_close_before_report": "the connection of an ended session is closed; the database does not know",
}
"""Places where the line before or after can fail, so that the caller has to handle what `raise` raises."""

QUIET_PLACES: Mapping[str, str] = {
    "dispatcher.after_enqueued_published": "enqueued dispatches are in the stream; their sequences are not noted",
    "attempts.after_settle_before_execution": "a command is claimed and its delivery acked; nothing is executed",
    "attempts.after_finish": "the outcome of an attempt is stored; the runner still counts it as running",
    "connections.after_report": "an agent is connected, and the database knows; it runs nothing yet",
}
"""Places where only the process can fail."""

STATEMENTS: Mapping[str, str] = {
    "sessions.start": "sessions are started",
    "sessions.stop": "a stop or restart has begun or is done",
    "sessions.advance_stop": "a stop was continued",
    "events.append": "a caller's events are appended",
    "commands.submit": "commands are stored, also those that requeue a dead letter",
    "commands.cancel": "commands are cancelled, or their runners are notified",
    "dispatch.due": "due dispatches are reserved for this replica for two seconds",
    "dispatch.mark": "the sequences of dispatches are stored",
    "dispatch.mark_published": "dead letters are marked as published",
    "dispatch.mark_runners_dead": "runners are marked dead",
    "connections.wanted": "sessions are assigned to a runner that connects their agents",
    "connections.connected": "agents are reported as connected",
    "connections.connect_failed": "a session is released to be connected again",
    "connections.closed": "a connection is reported as closed",
    "attempts.claim": "commands are claimed",
    "attempts.report": "progress and output are stored",
    "attempts.finish": "outcomes of attempts are stored",
    "leases.heartbeat": "a lease is renewed",
}
"""Statements by file and name. The failpoint is after the commit and before the answer arrives."""

NAMES: Mapping[str, str] = {**PLACES, **QUIET_PLACES, **STATEMENTS}
