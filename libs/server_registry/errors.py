"""The one error of the catalogue."""


class ServerRegistryError(Exception):
    """The catalogue breaks a rule; the message names the file, the entry, the key and the rule.

    `entry` and `key` are None where the fault lies outside any entry (a file that is no TOML).
    """

    def __init__(self, file: str, rule: str, *, entry: str | None = None, key: str | None = None) -> None:
        where = ".".join(part for part in ("servers" if entry is not None else None, entry, key) if part)
        super().__init__(f"{file}: {where}: {rule}" if where else f"{file}: {rule}")
        self.file = file
        self.entry = entry
        self.key = key
        self.rule = rule
