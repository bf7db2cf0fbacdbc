"""Generates the source that reads the value `v` of a field into a message."""

import re
from collections.abc import Callable
from dataclasses import replace

from google.protobuf.descriptor import Descriptor

from libs.contract import rules
from libs.contract.fields import Field, Kind, field_of
from libs.contract.rules import Check
from libs.contract.source import Lines, Names, checked, indented
from libs.contract.words import words_of


class ValueSource:
    """Generates code that reads one value. `nested` returns the name of a message's reader."""

    def __init__(self, names: Names, nested: Callable[[Descriptor], str], *, as_text: bool) -> None:
        self._names = names
        self._nested = nested
        self._as_text = as_text

    def value(self, field: Field, at: str, target: str) -> Lines:
        """Generate code that reads `v` into a field of the message `target`.

        `at` is an expression for the path of `v`.
        """
        attribute = f"{target}.{field.proto_name}"
        if field.is_map:
            return self._labels(field, at, attribute) if self._as_text else self._map(field, at, attribute)
        if field.is_list:
            return self._list(field, at, attribute)
        match field.kind:
            case Kind.TIMESTAMP | Kind.DURATION:
                failed = f"    errors.append(({at}, str(error)))"
                return ["try:", f"    set_{field.kind.value}({attribute}, v)", "except ValueError as error:", failed]
            case Kind.MESSAGE:
                read = [
                    f"{attribute}.SetInParent()",
                    f"{self._nested(field.message)}(v, {attribute}, {at} + '.', errors, late)",
                ]
                return checked(rules.type_checks(field.kind), at, read)
            case _:
                checks, result = self._scalar(field)
                return checked(checks, at, [f"{attribute} = {result}"])

    def _scalar(self, field: Field) -> tuple[list[Check], str]:
        """Return the checks of a single value, and an expression that converts it."""
        match field.kind:
            case Kind.STRING:
                return self._string_checks(field), "v"
            case Kind.ENUM:
                return self._enum_checks(field), "n"
            case Kind.INTEGER:
                is_whole = Check("not digits(v) or (v := int(v)) is None", "must be a whole number")
                first = [is_whole] if self._as_text else rules.type_checks(field.kind)
                return [*first, *rules.integer_checks(field)], "v"
            case Kind.JSON:
                text = "write_json(v)" if field.descriptor.has_presence else "write_json(v) if v else ''"
                return rules.type_checks(field.kind), text
            case Kind.BOOLEAN if self._as_text:
                return [Check("v != 'true' and v != 'false'", "must be true or false")], "v == 'true'"
            case _:
                return rules.type_checks(field.kind), "v"

    def _string_checks(self, field: Field) -> list[Check]:
        allowed = list(getattr(field.rules.string, "in"))
        if allowed:
            values = self._names.keep("values", frozenset(allowed))
            return [Check(f"type(v) is not str or v not in {values}", rules.one_of(allowed))]
        return [*rules.type_checks(Kind.STRING), *rules.string_checks(field, field.pattern, self._match(field.pattern))]

    def _enum_checks(self, field: Field) -> list[Check]:
        numbers = rules.enum_numbers(field, as_text=self._as_text)
        has_flags = any(type(word) is bool for word in numbers)
        can_be = "type(v) is not dict and type(v) is not list" if has_flags else "type(v) is str"
        name = self._names.keep("numbers", numbers)
        return [Check(f"(n := {name}.get(v) if {can_be} else None) is None", rules.one_of(numbers))]

    def _list(self, field: Field, at: str, attribute: str) -> Lines:
        own = field.own_rules.repeated
        least = own.min_items or int(field.option.not_empty)
        checks = [Check("type(v) is not list", "must be a list"), *rules.size_checks(own.max_items, least=least)]
        item_at = f"{at} + f'[{{i}}]'"
        if field.kind is Kind.ENUM and words_of(field.enum).pattern:
            return checked(checks, at, self._long_words(field, at, item_at, attribute))
        if field.kind is Kind.MESSAGE:
            read = f"{self._nested(field.message)}(v, items.add(), {item_at} + '.', errors, late)"
            item = checked(rules.type_checks(field.kind), item_at, [read])
        else:
            item_checks, result = self._scalar(field)
            item = checked(item_checks, item_at, [f"items.append({result})"])
        return checked(checks, at, [f"items = {attribute}", "for i, v in enumerate(v):", *indented(item)])

    def _long_words(self, field: Field, at: str, item_at: str, attribute: str) -> Lines:
        """Generate code that reads words of a long enum: first their form, then whether they exist.

        It drops duplicates.
        """
        words = words_of(field.enum)
        numbers = self._names.keep("numbers", words.numbers)
        form = Check(f"{self._match(words.pattern)}(v) is None", f"must match {words.pattern}")
        item = checked([*rules.type_checks(Kind.STRING), form], item_at, [f"found[v] = {numbers}.get(v)"])
        lines = ["found = {}", "for i, v in enumerate(v):", *indented(item)]
        lines += ["if None in found.values():", f"    late.append(({at}, {words.rule!r}))"]
        return [*lines, "else:", f"    {attribute}.extend(found.values())"]

    def _map(self, field: Field, at: str, attribute: str) -> Lines:
        own = field.own_rules.map
        key_checks = self._string_checks(replace(field_of(field.message.fields_by_name["key"]), rules=own.keys))
        value_checks, result = self._scalar(field.map_value)
        item_at = f"{at} + '.' + shown(key)"
        entry = ["v = key", *checked(key_checks, item_at, ["pass"])]
        entry += ["v = value", *checked(value_checks, item_at, [f"items[key] = {result}"])]
        lines = [f"items = {attribute}", "for key, value in v.items():", *indented(entry)]
        return checked([*rules.type_checks(Kind.MESSAGE), *rules.size_checks(own.max_pairs)], at, lines)

    def _labels(self, field: Field, at: str, attribute: str) -> Lines:
        """Generate code that reads the `name:value` pairs of a query."""
        lines = [
            f"items = {attribute}",
            "for pair in v:",
            "    key, colon, value = pair.partition(':')",
            "    if not key or not colon:",
            f"        late.append(({at}, 'must be name:value'))",
            "        break",
            "    items[key] = value",
        ]
        return checked(rules.size_checks(field.own_rules.map.max_pairs), at, lines)

    def _match(self, pattern: str) -> str:
        return self._names.keep("match", re.compile(pattern).fullmatch) if pattern else ""
