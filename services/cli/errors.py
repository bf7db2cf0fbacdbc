"""The errors that the command line prints, each with an exit code."""


class CliError(Exception):
    """A service rejected the call, or the caller can correct something else. Exit code 1."""

    exit_code = 1


class UsageError(CliError):
    """Arguments are invalid or contradict each other. Exit code 2."""

    exit_code = 2


class UnreachableError(CliError):
    """No service answers. The same call may succeed later. Exit code 4."""

    exit_code = 4


class SettingError(CliError):
    """An environment variable is invalid. Exit code 2."""

    exit_code = 2

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


class NewerDatabaseError(CliError):
    """A newer version wrote the database. Exit code 3."""

    exit_code = 3
