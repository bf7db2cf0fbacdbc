"""Launchers for the servers that the suite stands on, and a supervisor for child processes."""

from libs.engines.child import ChildSpec, last_lines
from libs.engines.errors import AlreadyRunningError, ChildError, EngineError
from libs.engines.leftovers import end_leftovers
from libs.engines.locks import FileLock
from libs.engines.nats_server import NatsServer
from libs.engines.ports import free_port, is_free
from libs.engines.postgres_server import PostgresServer
from libs.engines.supervisor import RestartPolicy, Supervisor

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
