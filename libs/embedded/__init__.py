"""Launchers for Postgres and NATS, and a supervisor for child processes."""

from libs.embedded.child import ChildSpec, last_lines
from libs.embedded.errors import (
    AlreadyRunningError,
    ChildError,
    EngineError,
)
from libs.embedded.leftovers import end_leftovers
from libs.embedded.locks import FileLock
from libs.embedded.nats_server import NatsServer
from libs.embedded.ports import free_port, is_free
from libs.embedded.postgres_server import PostgresServer
from libs.embedded.supervisor import RestartPolicy, Supervisor

__all__ = [
    "AlreadyRunningError",
    "ChildError",
    "ChildSpec",
    "EngineError",
    "FileLock",
    "NatsServer",
    "PostgresServer",
    "RestartPolicy",
    "Supervisor",
    "end_leftovers",
    "free_port",
    "is_free",
    "last_lines",
]
