"""A small model of the life of commands, with which the services are compared."""

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

WAITING = ("scheduled", "queued", "retrying")
ENDED = ("succeeded", "failed", "cancelled")
MAX_RELEASES = 20


class _Named:
    """Compared by identity, and shown by name where Hypothesis would show all fields."""

    def _repr_pretty_(self, printer: Any, _: object) -> None:
        printer.text(repr(self))


@dataclass(eq=False, repr=False)
class ModelRunner(_Named):
    """A runner's incarnation. `expired`: its lease has expired. `dead`: it was marked dead."""

    id: UUID
    name: str
    expired: bool = False
    dead: bool = False

    def __repr__(self) -> str:
        return self.name

    @property
    def lives(self) -> bool:  # whether it can claim
        return not self.expired and not self.dead


@dataclass(eq=False, repr=False)
class ModelSession(_Named):
    """An agent's session, and the runner that holds it."""

    agent_id: str
    session_id: str
    uid: UUID
    owner: ModelRunner | None = None
    kill: bool = False

    def __repr__(self) -> str:
        return self.agent_id


@dataclass(frozen=True)
class SubmitRequest:
    """A submit request. An idempotency key covers all of it."""

    agent_id: str
    type: str
    max_attempts: int
    delayed: bool
    ordering_key: str
    key: str


@dataclass(eq=False, repr=False)
class ModelCommand(_Named):
    """A command. `due`: its earliest time has come. `fences`: its old lease tokens."""

    id: UUID
    name: str
    request: SubmitRequest
    session: ModelSession
    state: str
    due: bool
    events: list[str]
    requeued_from: "ModelCommand | None" = None
    attempt: int = 0
    charged: int = 0
    released: int = 0
    token: UUID | None = None
    runner: ModelRunner | None = None
    fences: list[UUID] = field(default_factory=list)
    cancel_requested: bool = False
    overdue: bool = False
    attempts: list[tuple[int, str, bool]] = field(default_factory=list)
    dead_reason: str | None = None
    requeued_as: "ModelCommand | None" = None
    expired: bool = False
    forgotten: bool = False

    def __repr__(self) -> str:
        return f"{self.name}, {self.state}"

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


@dataclass
class _Key:
    request: object
    command: ModelCommand | None
    cancelled: bool = False


class CommandModel:
    """All commands of a tenant, in submit order. Each method has the effect and answer of the call it is named for."""

    def __init__(self) -> None:
        self.commands: list[ModelCommand] = []
        self.sessions: list[ModelSession] = []
        self.runners: list[ModelRunner] = []
        self._keys: dict[tuple[str, str], _Key] = {}

    def kept(self) -> list[ModelCommand]:
        """The commands that are stored."""
        return [one for one in self.commands if not one.forgotten]

    def in_states(self, *states: str) -> list[ModelCommand]:
        """The commands in any of these states."""
        return [one for one in self.kept() if one.state in states]

    def is_blocked(self, command: ModelCommand) -> bool:
        """Whether an earlier command of its ordering key has not ended."""
        before = self.commands[: self.commands.index(command)]
        return bool(command.request.ordering_key) and any(
            not one.has_ended
            and (one.session, one.request.ordering_key) == (command.session, command.request.ordering_key)
            for one in before
        )

    def session_of(self, agent_id: str) -> ModelSession:
        return next(one for one in self.sessions if one.agent_id == agent_id)

    def startable(self) -> list[ModelCommand]:
        """The commands that the runner of their session can claim once they are due."""
        turns = [one for one in self.in_states(*WAITING) if not self.is_blocked(one)]
        return [one for one in turns if one.session.owner and one.session.owner.lives]

    def dispatched(self) -> list[ModelCommand]:
        """The commands that may have a dispatch in the stream."""
        return [one for one in self.kept() if one.waits and one.due and not self.is_blocked(one)]

    def command_of_key(self, method: str, key: str) -> ModelCommand | None:
        """The command stored with a key."""
        known = self._keys.get((method, key))
        return known.command if known else None

    def submits(self, method: str, key: str, request: object) -> str:
        """The effect of a key on a request: `ok`, `replay` or `reused`."""
        known = self._keys.get((method, key)) if key else None
        if known is None or known.command is None:
            return "ok"
        return "replay" if known.request == request else "reused"

    def submit(self, command_id: UUID, asked: SubmitRequest, dead: ModelCommand | None = None) -> ModelCommand:
        """Adds an accepted command. `dead` is the command that it requeues."""
        method, request = ("requeue", dead) if dead else ("submit", asked)
        known = self._keys.get((method, asked.key)) if asked.key else None
        events = ["command.enqueued", *(["command.requeued"] if dead else [])]
        state = "scheduled" if asked.delayed else "queued"
        name, session = f"c{len(self.commands)}", self.session_of(asked.agent_id)
        made = ModelCommand(command_id, name, asked, session, state, not asked.delayed, events, dead)
        self.commands.append(made)
        if known is not None and known.cancelled:
            made.state, made.cancel_requested = "cancelled", True
            events.append("command.cancelled")
        if asked.key:
            self._keys[method, asked.key] = _Key(request, made)
        if dead:
            dead.requeued_as = made
        return made

    def requeues(self, dead: ModelCommand, key: str) -> str:
        """The result of a requeue: as `submits`, or the reason of its rejection."""
        code = self.submits("requeue", key, dead)
        if code != "ok":
            return code
        return "DEAD_LETTER_NOT_FOUND" if not dead.dead_reason else "DEAD_LETTER_REQUEUED" if dead.requeued_as else "ok"

    def requeue(self, command_id: UUID, dead: ModelCommand, key: str) -> ModelCommand:
        """Adds the command that a requeue creates."""
        return self.submit(command_id, replace(dead.request, delayed=False, key=key), dead)

    def purge(self, command: ModelCommand) -> str:
        """Removes a dead letter."""
        code = "ok" if command.dead_reason else "DEAD_LETTER_NOT_FOUND"
        command.dead_reason = command.requeued_as = None
        return code

    def claims(self, command: ModelCommand, runner: ModelRunner) -> str:
        """The answer to a claim."""
        if not command.waits:
            return "gone"
        if not runner.lives:
            return "runner_dead"
        if not command.due or self.is_blocked(command):
            return "not_due"
        return "ok" if command.session.owner is runner else "not_owner"

    def claim(self, command: ModelCommand, runner: ModelRunner, token: UUID) -> None:
        """Starts an attempt."""
        command.state, command.token, command.runner = "running", token, runner
        command.attempt += 1
        command.events.append("command.started")

    def settle(self, command: ModelCommand, how: str) -> str:
        last = command.charged + 1 >= command.request.max_attempts
        outcome, charged, reason = {
            "succeeds": ("succeeded", True, ""),
            "fails": ("failed" if last else "retrying", True, "TOOL_ERROR"),
            "loses its lease": ("failed" if last else "retrying", True, "LEASE_EXPIRED"),
            "fails for good": ("failed", True, "TOOL_NOT_FOUND"),
            "is released": (
                "failed" if command.released >= MAX_RELEASES else "released",
                False,
                "RELEASED_TOO_OFTEN",
            ),
            "has not begun": ("released", False, ""),
            "is cancelled": ("cancelled", False, ""),
        }[how]
        if command.cancel_requested:
            outcome = "cancelled"
        command.charged += charged
        command.released += how == "is released"
        self._end_attempt(command, outcome, charged=charged)
        if outcome == "failed":
            self._fail(command, reason)
        else:
            ended = {"succeeded": "command.completed", "cancelled": "command.cancelled"}
            command.events.append(ended.get(outcome, "command.retrying"))
            command.state = "retrying" if outcome == "released" else outcome
            command.due = False
        return outcome

    def take(self, session: ModelSession, runner: ModelRunner) -> bool:
        """Assigns a session to a runner, unless it is dead."""
        if not runner.dead:
            session.owner, session.kill = runner, False
        return not runner.dead

    def cancel(self, command: ModelCommand, mode: str, grace_ms: int) -> tuple[str, str | None]:
        """Cancels a command, and returns the code, and the state if it exists."""
        if command.has_ended:
            return ("gone", None) if command.forgotten else ("finished", command.state)
        if command.state == "running":
            if not command.cancel_requested:
                command.events.append("command.cancel_requested")
            command.cancel_requested = True
            if mode == "graceful" and grace_ms > 0:
                return "requested", "running"
            session = command.session
            session.kill = session.kill or (mode == "kill" and session.owner is command.runner)
            self._end_attempt(command, "cancelled", charged=False)
        command.cancel_requested, command.state = True, "cancelled"
        command.events.append("command.cancelled")
        return "cancelled", "cancelled"

    def cancel_key(self, key: str) -> ModelCommand | None:
        """Cancels the command with a submit key; None if the cancel is kept for a later submit."""
        known = self._keys.setdefault(("submit", key), _Key(None, None))
        known.cancelled = known.cancelled or known.command is None
        return known.command

    def lose_dispatch(self, command: ModelCommand) -> None:
        """Charges an attempt that no runner started."""
        command.attempt += 1
        command.charged += 1
        dead = command.charged >= command.request.max_attempts
        command.attempts.append((command.attempt, "failed" if dead else "retrying", True))
        if dead:
            self._fail(command, "DISPATCH_LOST")
        else:
            command.events.append("command.retrying")

    def reconcile(self) -> None:
        """Releases what dead runners held, ends commands past their cancel's deadline, and removes expired ones."""
        for runner in self.runners:
            runner.dead = runner.dead or runner.expired
        for session in self.sessions:
            if session.owner and session.owner.dead:
                session.owner = None
        for command in self.in_states("running"):
            if command.runner and command.runner.dead:
                self.settle(command, "loses its lease")
            elif command.overdue:
                self.settle(command, "is cancelled")
        for command in self.commands:
            command.forgotten = command.forgotten or command.expired

    def _fail(self, command: ModelCommand, reason: str) -> None:
        command.state, command.dead_reason = "failed", reason
        command.events += ["command.failed", "command.dead_lettered"]

    def _end_attempt(self, command: ModelCommand, outcome: str, *, charged: bool) -> None:
        command.attempts.append((command.attempt, outcome, charged and outcome != "released"))
        if command.token:
            command.fences.append(command.token)
        command.token = command.runner = None
