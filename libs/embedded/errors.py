"""Errors of engines and child processes, in words for the person who started them."""


class EngineError(Exception):
    """An engine cannot be found or prepared. The text says what to do."""


class AlreadyRunningError(EngineError):
    """Another process uses what only one process may use."""


class ChildError(EngineError):
    """A child was not ready in time or crashed too often. `last_lines` is the end of its log."""

    def __init__(self, name: str, problem: str, last_lines: list[str]) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.last_lines = last_lines
