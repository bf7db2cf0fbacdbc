"""The names of all failpoints, each with what has happened there and what has not.

A test holds them against the code: each name of a place is reached by one line, each statement is in one file.
"""

from collections.abc import Mapping

PLACES: Mapping[str, str] = {
    "lifecycle.after_start_before_answer": "a session is started, or found; its caller does not know",
    "lifecycle.after_stop_begun": "a session is stopping or stopped; nobody has carried the stop on",
    "lifecycle.between_stop_steps": "one chunk of a stop's commands is cancelled, the next is not",
    "lifecycle.after_stop_before_answer": "a session has ended; the caller of its stop does not know",
    "lifecycle.after_restart_before_answer": "a session has ended, its successor lives; the caller does not know",
    "lifecycle.between_finished_stops": "one abandoned stop is carried on, the next is not",
    "events.after_append_before_answer": "events are appended and hinted; their caller does not know",
    "hub.after_subscribe_before_position": "hints of a partition arrive; where it stands is not read",
    "tail.after_read_before_deliver": "events that no hint brought are read; no reader has them",
    "follow.between_storage_and_tail": "a reader has what is stored, and nothing live yet",
    "commands.after_submit_before_offer": "commands are stored and hinted; the dispatcher has not heard",
    "commands.after_submit_before_answer": "a command is stored and offered; its caller does not know",
    "dead_letters.after_requeue_before_answer": "a dead letter is requeued; its caller does not know",
    "cancels.after_key_before_cancel": "the key of a cancel is taken; nothing is cancelled",
    "cancels.after_cancel_before_answer": "a command is cancelled, or its runner asked to; the caller does not know",
    "dispatcher.after_due_before_publish": "due dispatches are taken from all replicas; none is published",
    "dispatcher.after_publish_before_mark": "due dispatches stand in the stream; the database does not know",
    "dispatcher.before_offers_marked": "offered dispatches stand in the stream; the database does not know",
    "reconciler.after_lapse_before_expiry": "runners are declared dead; they still hold their commands",
    "reconciler.between_expiries": "one command of a dead runner is taken from it, the next is not",
    "reconciler.after_freeing_before_hint": "connections of dead runners are free; no runner has heard",
    "reconciler.after_redispatch_before_hint": "dispatches are due again; no dispatcher has heard",
    "reconciler.after_letters_before_mark": "dead letters stand in their stream; the database does not know",
    "attempts.after_claim_before_settle": "a command is claimed; its delivery is not acked",
    "attempts.after_execution_before_finish": "a command was executed; its end is not stored",
    "runner.after_register_before_loops": "a runner is entered; it listens to nothing and renews nothing",
    "runner.before_heartbeat": "a runner is about to renew its lease",
    "runner.before_release": "a claim whose answer was lost is found; it is not given back",
    "connections.after_connect_before_told": "an agent is connected; the database does not know",
    "connections.after_loss_before_given_back": "an agent was lost and cleaned up; its session is still the runner's",
    "connections.after_shut_before_told": "the connection of an ended session is closed; the database does not know",
}
"""Places where the line before or after can fail, so that `raise` is a fault which the caller handles."""

QUIET_PLACES: Mapping[str, str] = {
    "dispatcher.after_offers_published": "offered dispatches stand in the stream; nobody has noted where",
    "attempts.after_settle_before_execution": "a command is claimed and its delivery acked; nothing is executed",
    "attempts.after_finish": "the end of an attempt is stored; the runner still counts it as its own",
    "connections.after_told": "an agent is connected, and the database knows; nothing runs in it",
}
"""Places where nothing can fail but the process."""

STATEMENTS: Mapping[str, str] = {
    "sessions.start": "sessions are started",
    "sessions.stop": "a stop or a restart has begun, or is done",
    "sessions.stop_further": "a stop was carried on",
    "events.append": "a caller's events are appended",
    "commands.submit": "commands are stored, also those that requeue a dead letter",
    "commands.cancel": "commands are cancelled, or their runners asked to",
    "dispatch.due": "due dispatches are taken from all replicas for two seconds",
    "dispatch.mark": "where dispatches lie is stored",
    "dispatch.mark_letters": "dead letters are marked as published",
    "dispatch.lapse_runners": "runners are declared dead",
    "connections.wanted": "sessions are given to a runner, to connect their agents",
    "connections.connected": "agents are said to be connected",
    "connections.connect_failed": "a connection was given back",
    "connections.closed": "a connection is said to be closed",
    "attempts.claim": "commands are claimed",
    "attempts.report": "progress and output are stored",
    "attempts.finish": "ends of attempts are stored",
    "leases.heartbeat": "a lease is renewed",
}
"""Statements, by file and name: the place is where the statement has committed, and nobody has its answer yet."""

NAMES: Mapping[str, str] = {**PLACES, **QUIET_PLACES, **STATEMENTS}
