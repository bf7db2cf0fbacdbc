"""The error of the server registry."""


class ServerRegistryError(Exception):
    """The registry file breaks a rule. The message names the file, the entry, the key and the rule.

    `entry` and `key` are None if the fault is not in an entry, as in a file that is not TOML.
    """

    def __init__(self, file: str, rule: str, *, entry: str | None = None, key: str | None = None) -> None:
        where = ".".join(part for part in ("servers" if entry is not None else None, entry, key) if part)
        super().__init__(f"{file}: {where}: {rule}" if where else f"{file}: {rule}")
        self.file = file
        self.entry = entry
        self.key = key
        self.rule = rule
