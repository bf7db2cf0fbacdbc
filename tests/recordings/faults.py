"""Derives the faults that all requests of a kind have in common from a good request."""

import re
from collections.abc import Iterator
from dataclasses import replace

from tests.recordings.script import NOBODY, STRANGER, Step, plain_step

_LESS = {"viewer": NOBODY, "operator": "viewer", "admin": "operator"}
_MIB = 1024 * 1024
_COLLECTIONS = ("agents", "agent-sessions", "commands", "dead-letters")
_VERBS = ("cancel", "cancel-by-key", "requeue", "purge")
_DEEP = '{"x":' * 65 + "1" + "}" * 65
_NO_SUCH_FIELD = b"\xfa\xff\x3f\x01x"  # field 131071, of one byte

# Bodies that are not valid JSON, or not objects, for any operation.
_TEXTS: dict[str, bytes] = {
    "malformed JSON": b'{"a": ',
    "an array": b"[]",
    "null": b"null",
    "a string": b'"x"',
    "a duplicate key": b'{"colour": 1, "colour": 2}',
    "NaN": b'{"colour": NaN}',
    "a number too large": b'{"colour": 1e999}',
    "an integer too long": b'{"colour": ' + b"9" * 5000 + b"}",
    "nested too deep": b'{"colour": ' + _DEEP.encode() + b"}",
    "a NUL character": b'{"colour": {"a": "\\u0000"}}',
    "a lone surrogate": b'{"colour": {"a": ["\\ud800"]}}',
    "invalid UTF-8": b'{"colour": "\xff"}',
    "two values": b"{} {}",
}


def faults_of(step: Step, *, role: str, body: str = "", paged: bool = False) -> Iterator[Step]:
    """Yields the faulty variants of a request.

    `role` is the least role that may call; `body` is `required` or `optional`, or empty if the operation takes none;
    `paged` says that it lists pages.
    """
    yield from _who(step, role)
    yield from _rpc(step) if step.is_rpc else _rest(step, body, is_paged=paged)


def _who(step: Step, role: str) -> Iterator[Step]:
    yield replace(_named(step, "no key"), role=NOBODY)
    yield replace(_named(step, "a wrong key"), role=STRANGER)
    if role != "viewer":
        yield replace(_named(step, f"as {_LESS[role]}"), role=_LESS[role])


def _rpc(step: Step) -> Iterator[Step]:
    yield replace(_named(step, "a malformed message"), body=b"\xff")
    yield replace(_named(step, "an unknown field"), body=_NO_SUCH_FIELD)


def _rest(step: Step, body: str, *, is_paged: bool) -> Iterator[Step]:
    yield from _ids(step)
    yield from _queries(step, is_paged=is_paged)
    if not step.target.startswith("GET "):
        yield from _keys(step)
        yield from _bodies(step, body)


def _ids(step: Step) -> Iterator[Step]:
    for name, id_ in {"an invalid id": "%20", "an id too long": "«x*129»", "an unknown id": "unknown-1"}.items():
        target = _with_id(step.target, id_)
        if target != step.target:
            yield replace(_named(step, name), target=target)


def _with_id(target: str, id_: str) -> str:
    method, _, path = target.partition(" ")
    words = path.split("/")
    for index, word in enumerate(words[:-1]):
        if word in _COLLECTIONS and words[index + 1] not in _VERBS:
            _, mark, query = words[index + 1].partition("?")
            words[index + 1] = id_ + mark + query
    return f"{method} {'/'.join(words)}"


def _queries(step: Step, *, is_paged: bool) -> Iterator[Step]:
    queries = {
        "an unknown parameter": "colour=1",
        "a query that is not UTF-8": "colour=%ff",
        "a query with a NUL character": "colour=%00",
    }
    if is_paged:
        queries |= {
            "a page size of 0": "pageSize=0",
            "a page size over the limit": "pageSize=501",
            "a page size that is not a number": "pageSize=x",
            "two page sizes": "pageSize=1&pageSize=2",
            "an invalid page token": "pageToken=eyJ4IjoxfQ",
            "a page token too long": "pageToken=«x*1025»",
        }
    joint = "&" if "?" in step.target else "?"
    for name, query in queries.items():
        yield replace(_named(step, name), target=step.target + joint + query)


def _keys(step: Step) -> Iterator[Step]:
    keys = {
        "an invalid idempotency key": "a b",
        "an idempotency key too long": "«x*129»",
        "an empty idempotency key": "",
    }
    for name, key in keys.items():
        yield replace(_named(step, name), headers={**step.headers, "Idempotency-Key": key})


def _bodies(step: Step, body: str) -> Iterator[Step]:
    good = step.body if isinstance(step.body, str) and step.body else "{}"
    if body == "required":
        yield replace(_named(step, "no body"), body=None)
    for name, text in _TEXTS.items():
        yield replace(_named(step, name), body=text)
    yield replace(_named(step, "an unknown field"), body=_with_field(good))
    for name, type_ in {"no media type": "", "an invalid media type": "text/plain"}.items():
        yield replace(_named(step, name), body=good, headers={**step.headers, "Content-Type": type_})
    yield replace(_named(step, "too large"), body=b" " * (_MIB + 1))


def _with_field(good: str) -> str:
    inner = re.sub(r"^\s*\{|\}\s*$", "", good)
    return '{"colour": 1' + (f", {inner}" if inner.strip() else "") + "}"


def _named(step: Step, fault: str) -> Step:
    return plain_step(step, f"{step.name} / {fault}")
