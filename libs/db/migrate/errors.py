"""The reasons why a migration fails."""


class MigrationError(Exception):
    """The database was not migrated. The text says why and what to do."""


class SourceError(MigrationError):
    """A file of the schema breaks a rule. The mistake is in the release, not in the database."""


class NewerSchemaError(MigrationError):
    """A newer release migrated the database; this one must not touch it."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(f"the database is at migration {found}, and the last one of this release is {known}")
        self.found = found
        self.known = known


class OldSchemaError(MigrationError):
    """The database has a schema from before the baseline, which cannot be migrated."""

    def __init__(self) -> None:
        super().__init__("the database was made before release 0.1.0, and its schema cannot be migrated")


class EditedMigrationError(MigrationError):
    """A migration was edited after this database had applied it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"migration {name} was edited after this database applied it; released migrations must not change"
        )
        self.name = name


class ChangedSignatureError(MigrationError):
    """The arguments, columns or result of a function or type differ from those in the database."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the arguments or the result of {name} changed: give the new version a new name ({name}_v2), and drop the"
            " old one in a migration of a later release"
        )
        self.name = name


class LockedSchemaError(MigrationError):
    """Other transactions held a lock for longer than the migration waits."""

    def __init__(self, seconds: float, detail: str) -> None:
        super().__init__(
            f"the migration could not get its locks within {seconds:.0f} s and changed nothing: {detail};"
            " end the long transaction, or run the migration again after it"
        )
