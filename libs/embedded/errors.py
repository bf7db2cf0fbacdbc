"""What can go wrong with an engine or with a child, in words for the person who started it."""


class EngineError(Exception):
    """An engine cannot be prepared or found; the text says what to do."""


class AlreadyRunningError(EngineError):
    """Another process holds what only one may hold."""


class ChildError(EngineError):
    """A child did not get ready, or crashed too often.

    `last_lines` is the end of its log, for showing.
    """

    def __init__(self, name: str, problem: str, last_lines: list[str]) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.last_lines = last_lines
