"""Generates the source of functions that read a JSON object, or a query, into a message.

A generated function is `read(given, message, at, errors, late)`. `at` is the object's path in error messages. `errors`
collects (path, rule) pairs. `late` collects those that are reported only when `errors` is empty.
"""

from google.protobuf.descriptor import Descriptor

from libs.contract import rules
from libs.contract.fields import Kind
from libs.contract.slots import Limits, Scope, Slot, scope_of
from libs.contract.source import Lines, Names, checked, indented
from libs.contract.strict_json import write_json
from libs.contract.value_source import ValueSource
from libs.contract.values import digits, set_duration, set_timestamp
from libs.contract.violations import shown
from libs.contract.words import words_of

_MISSING = object()


class ReaderSources:
    """The readers of objects and their sources, by name. With `as_text` all values are strings, as in a query."""

    def __init__(self, *, as_text: bool = False) -> None:
        self.sources: dict[str, str] = {}
        self.names = Names(
            MISSING=_MISSING,
            digits=digits,
            set_duration=set_duration,
            set_timestamp=set_timestamp,
            shown=shown,
            write_json=write_json,
        )
        self._values = ValueSource(self.names, self._nested, as_text=as_text)

    def declare(self, name: str, scope: Scope) -> None:
        """Define a reader under an unused name."""
        self.sources[name] = ""  # a message may contain itself
        targets = {(): "message"} | {path: "_".join(path) for path in scope.flat}
        changes = self._mask(scope)
        body = ["get = given.get"]
        if scope.not_empty:
            body.append("before = len(errors)")
        for path in scope.flat:
            body.append(f"{targets[path]} = {targets[path[:-1]]}.{path[-1]}")
            body += self._presence(scope, path, targets[path])
        for slot in scope.slots:
            body += self._slot(slot, targets[slot.above], may_miss=slot.name in changes)
        body += self._unknown(scope) + self._whole(scope, changes)
        self.sources[name] = "\n".join([f"def {name}(given, message, at, errors, late):", *indented(body)])
        self.names.define(self.sources[name])

    def _nested(self, message: Descriptor) -> str:
        name = f"read_{message.full_name.replace('.', '_')}"
        if name not in self.sources:
            self.declare(name, scope_of(message, Limits(is_whole=True)))
        return name

    def _presence(self, scope: Scope, path: tuple[str, ...], target: str) -> Lines:
        """Generate code that sets a flattened message if any of its names is given."""
        names = frozenset(slot.name for slot in scope.slots if slot.above[: len(path)] == path)
        return [f"if not {self.names.keep('names', names)}.isdisjoint(given):", f"    {target}.SetInParent()"]

    def _slot(self, slot: Slot, target: str, *, may_miss: bool) -> Lines:
        field = slot.field
        lines = self._flag(slot, target) if field.option.HasField("flag") else []
        lines += self._named(
            slot, slot.name, target,
            takes_null=field.takes_null and not slot.is_required, is_required=slot.is_required and not may_miss,
        )  # fmt: skip
        if other := field.option.also_read_as:
            lines += self._named(slot, other, target, takes_null=True, is_required=False)
            lines += [
                f"if get({other!r}) is not None and get({slot.name!r}) not in (None, get({other!r})):",
                f"    late.append(('', {f'{other} contradicts {slot.name}'!r}))",
            ]
        return lines

    def _flag(self, slot: Slot, target: str) -> Lines:
        """Generate code that reads the boolean that stands for an enum's word."""
        flag, name = slot.field.option.flag, slot.name
        number = words_of(slot.field.enum).numbers[flag.word]
        set_it = ["if v:", f"    {target}.{slot.field.proto_name} = {number}"]
        lines = [f"v = get({flag.name!r})", "if v is not None:"]
        lines += indented(checked(rules.type_checks(Kind.BOOLEAN), f"at + {flag.name!r}", set_it))
        rule = f"{flag.name} contradicts {name}"
        return [
            *lines,
            f"if v is True and get({name!r}) not in (None, {flag.word!r}):",
            f"    late.append(('', {rule!r}))",
        ]

    def _named(self, slot: Slot, name: str, target: str, *, takes_null: bool, is_required: bool) -> Lines:
        value = indented(self._values.value(slot.field, f"at + {name!r}", target))
        if takes_null:
            return [f"v = get({name!r})", "if v is not None:", *value]
        lines = [f"v = get({name!r}, MISSING)"]
        if is_required:
            missing = f"    errors.append((at + {name!r}, 'is required'))"
            return [*lines, "if v is MISSING:", missing, "else:", *value]
        return [*lines, "if v is not MISSING:", *value]

    def _unknown(self, scope: Scope) -> Lines:
        known: set[str] = set()
        for slot in scope.slots:
            known |= {slot.name, slot.field.option.also_read_as, slot.field.option.flag.name}
        names, rule = self.names.keep("names", frozenset(known - {""})), "is not a field of this request"
        return [
            f"if not {names}.issuperset(given):",
            f"    errors += [(at + shown(name), {rule!r}) for name in given if name not in {names}]",
        ]

    def _whole(self, scope: Scope, changes: dict[str, str]) -> Lines:
        """Generate the checks of the object as a whole."""
        lines: Lines = []
        if scope.not_empty:
            lines += ["if len(errors) == before and all(v is None for v in given.values()):"]
            lines += [f"    errors.append((at.rstrip('.'), {scope.not_empty!r}))"]
        if scope.mask is not None:
            mask, rule = self.names.keep("mask", changes), f"must give at least one of {', '.join(changes)}"
            lines += [f"if {mask}.keys().isdisjoint(given):", f"    late.append(('', {rule!r}))"]
            given = f"[{mask}[name] for name in {mask} if name in given]"
            lines += [f"message.{scope.mask.proto_name}.paths.extend({given})"]
        for names, is_required in scope.choices:
            count = " + ".join(f"(get({name!r}) is not None)" for name in names)
            rule = rules.exactly_one(names, is_required=is_required)
            lines += [f"if {count} {'!=' if is_required else '>'} 1:", f"    late.append((at.rstrip('.'), {rule!r}))"]
        return lines

    def _mask(self, scope: Scope) -> dict[str, str]:
        """Return the paths that the field mask may contain, by their names in JSON."""
        allowed = getattr(scope.mask.own_rules.field_mask, "in") if scope.mask is not None else ()
        paths = {slot.name: slot.path.removeprefix(f"{scope.body}.") for slot in scope.slots}
        return {name: path for name, path in paths.items() if path in allowed}
