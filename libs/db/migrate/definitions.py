"""Applies functions and types: again when their text changed, and in the order of their dependencies."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from libs.db.migrate.errors import ChangedSignatureError
from libs.db.migrate.ledger import Ledger, needs_apply
from libs.db.migrate.sources import Definition, names_in

_GRANTS = "grants"
_SIGNATURES = """
select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname || '.' || p.proname = %s
"""


class Definitions:
    """The functions and types of this release, compared with those in the database."""

    def __init__(
        self, connection: psycopg.Connection[Any], ledger: Ledger, definitions: tuple[Definition, ...],
        grants: tuple[Path, ...],
    ) -> None:  # fmt: skip
        self._connection, self._ledger = connection, ledger
        self._definitions = definitions
        self._grants = tuple(path.read_text(encoding="utf-8") for path in grants)

    def apply_for(self, script: str) -> None:
        """Apply the definitions that a migration's script names, and their dependencies, before the script runs."""
        wanted = names_in(script)
        for definition in reversed(self._definitions):
            if definition.name in wanted:
                wanted |= definition.mentions
        self._apply(definition for definition in self._definitions if definition.name in wanted)

    def apply_all(self) -> None:
        """Apply the definitions that changed. If any did, apply the grants too."""
        changed = self._apply(self._definitions)
        self._ledger.forget_dropped()
        grants = Definition(_GRANTS, "function", "\n".join(self._grants))
        if changed or needs_apply(grants, self._ledger.definitions()):
            for text in self._grants:
                self._connection.execute(text.encode())
            self._ledger.remember_definition(grants.name, grants.checksum)

    def is_current(self) -> bool:
        """Return whether the database has every definition and grant of this release."""
        applied = self._ledger.definitions()
        grants = Definition(_GRANTS, "function", "\n".join(self._grants))
        return not any(needs_apply(each, applied) for each in (*self._definitions, grants))

    def _apply(self, definitions: Iterable[Definition]) -> int:
        applied = self._ledger.definitions()
        changed = [definition for definition in definitions if needs_apply(definition, applied)]
        for definition in changed:
            self._create(definition, is_known=definition.name in applied)
            self._ledger.remember_definition(definition.name, definition.checksum)
        return len(changed)

    def _create(self, definition: Definition, *, is_known: bool) -> None:
        if is_known and definition.kind == "type":
            raise ChangedSignatureError(definition.name)
        try:
            for statement in definition.statements(is_known=is_known):
                self._connection.execute(statement.encode())
        except psycopg.errors.InvalidFunctionDefinition as error:
            if is_known:
                raise ChangedSignatureError(definition.name) from error
            raise
        if definition.is_function:
            # With other argument types, Postgres does not replace the function: it creates a second one.
            row = self._connection.execute(_SIGNATURES, (definition.name,)).fetchone()
            if row != (1,):
                raise ChangedSignatureError(definition.name)
