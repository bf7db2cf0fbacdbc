"""Fills the templates, and lays the outcome out as the rest of the code is."""

import subprocess
import textwrap
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tools.protos.clients.catalog import Catalog, Enum
from tools.protos.clients.methods import Method
from tools.protos.compiler import BIN

TEMPLATES = Path(__file__).parent / "templates"
FILES = {
    "callboard/types.py": ("types.py.jinja", False),
    "callboard/resources/readers.py": ("readers.py.jinja", False),
    "callboard/resources/asynchronous.py": ("resources.py.jinja", True),
    "callboard/resources/synchronous.py": ("resources.py.jinja", False),
}
"""The files of the package, and which template each is made from, as asynchronous code or not."""
_WIDTH = 120
_TIMEOUT_COMMENT = "For how many seconds to try; the client's timeout when not given."
_KEY_COMMENT = "Made by the client when not given."


def write_clients(catalog: Catalog, target: Path, templates: Path = TEMPLATES) -> None:
    """Write the clients' files below `target`."""
    environment = Environment(
        loader=FileSystemLoader(templates), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,  # noqa: S701 - it makes Python, not HTML
    )  # fmt: skip
    environment.filters |= {"doc": docstring, "enum_doc": _enum_doc, "method_doc": _method_doc}
    for name, (template, asynchronous) in FILES.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(template).render(vars(catalog) | {"asynchronous": asynchronous})
        path.write_text(_formatted(text), encoding="utf-8")


def docstring(text: str, indent: int) -> str:
    """Return a docstring of one paragraph, to stand after `indent` spaces."""
    return _docstring([*_wrapped(text, indent, first=indent + 3)], indent)


def _docstring(lines: list[str], indent: int) -> str:
    """Return lines, of which all but the first are indented, as a docstring; the quotes close it where they fit."""
    fits = len(lines) == 1 and indent + len(lines[0]) + 6 <= _WIDTH
    text = "\n".join(lines).replace("\\", "\\\\")
    return f'"""{text}"""' if fits else f'"""{text}\n{" " * indent}"""'


def _wrapped(text: str, indent: int, first: int | None = None) -> list[str]:
    """Wrap a text; its first line begins at column `first` where something else made the room."""
    room = " " * (indent if first is None else first)
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=room,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [lines[0].lstrip(), *lines[1:]] if first is not None else lines


def _enum_doc(enum: Enum) -> str:
    values = [line for word, comment in enum.comments.items() for line in _item(f"- `{word}`: {comment}", 0)]
    return _docstring([*_wrapped(enum.comment, 0, first=3), "", *values], 0)


def _method_doc(method: Method) -> str:
    fields = [*method.positional, *method.keywords]
    comments = {field.name: field.comment for field in fields}
    if "request_id" in comments:
        comments["request_id"] += f" {_KEY_COMMENT}"
    comments["timeout"] = _TIMEOUT_COMMENT
    arguments = [line for name, comment in comments.items() for line in _item(f"{name}: {comment}", 12)]
    return _docstring([*_wrapped(method.comment, 8, first=11), "", " " * 8 + "Args:", *arguments], 8)


def _item(text: str, indent: int) -> list[str]:
    lines = _wrapped(text, indent + 4)
    return [" " * indent + lines[0].lstrip(), *lines[1:]]


def _formatted(text: str) -> str:
    """Drop the imports that are not used, and lay the code out."""
    own = ["--isolated", "--target-version=py311", f"--line-length={_WIDTH}", "--quiet", "-"]
    for action in (["check", "--fix-only", "--select=F401,I001"], ["format"]):
        done = subprocess.run([BIN / "ruff", *action, *own], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"ruff cannot read what was generated:\n{done.stderr}\n{text}")
        text = done.stdout
    return text
