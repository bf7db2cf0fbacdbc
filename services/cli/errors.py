"""What the command line refuses, with the exit code that it ends with."""


class RefusedError(Exception):
    """Something that the caller has to put right; the text says what. Exit code 1."""

    exit_code = 1


class UsageError(RefusedError):
    """Arguments that mean nothing, or not one thing. Exit code 2."""

    exit_code = 2


class UnreachableError(RefusedError):
    """No service answers; the same may work later. Exit code 4."""

    exit_code = 4


class SettingError(RefusedError):
    """A variable of the environment has a value that cannot be used. Exit code 2."""

    exit_code = 2

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


class NewerDatabaseError(RefusedError):
    """A newer version wrote the database. Exit code 3."""

    exit_code = 3
