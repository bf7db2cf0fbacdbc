"""Why a database cannot be brought to the schema of this release."""


class MigrationError(Exception):
    """The database was not migrated; the text says why, and what to do."""


class SourceError(MigrationError):
    """A file of the schema breaks a rule; this is a mistake in the release, not in the database."""


class NewerSchemaError(MigrationError):
    """A newer release wrote the database; this one must not touch it."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(f"the database is at migration {found}, and this release knows none later than {known}")
        self.found = found
        self.known = known


class OldSchemaError(MigrationError):
    """The database has the schema of before the baseline, which no migration leads away from."""

    def __init__(self) -> None:
        super().__init__("the database was made before release 0.1.0, and its schema cannot be migrated")


class EditedMigrationError(MigrationError):
    """A migration was edited after this database had applied it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"migration {name} is not the one that this database applied: a migration is never edited")
        self.name = name


class ChangedSignatureError(MigrationError):
    """A function or type has other arguments, columns or results than the one in the database."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the arguments or the result of {name} changed: give the new one a new name ({name}_v2), and drop the old"
            " one in a migration of a later release"
        )
        self.name = name


class LockedSchemaError(MigrationError):
    """Other transactions held a lock for as long as the migration was willing to try."""

    def __init__(self, seconds: float, detail: str) -> None:
        super().__init__(
            f"the migration tried for {seconds:.0f} s to get its locks, and changed nothing: {detail};"
            " end the long transaction, or run it again when that is over"
        )
