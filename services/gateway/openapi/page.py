"""Renders the OpenAPI document as a page of plain HTML without scripts."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

import orjson

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2330;background:#fff}
h1,h2{line-height:1.2}h2{margin-top:2.5rem}code,pre{font:14px/1.5 ui-monospace,monospace}
details{border:1px solid #d5d9e2;border-radius:6px;margin:.5rem 0;padding:.5rem .75rem}summary{cursor:pointer}
b{display:inline-block;min-width:4.5rem;font:600 13px ui-monospace,monospace;color:#2450a8}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0}
pre{background:#f4f6fa;border-radius:6px;padding:.75rem;overflow:auto}
@media(prefers-color-scheme:dark){body{color:#e3e7ef;background:#14171d}details{border-color:#3a4150}
b{color:#8fb1ff}pre{background:#1d222b}a{color:#8fb1ff}}
"""
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def page(document: dict[str, Any]) -> bytes:
    """Return the document as an HTML page."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(method.upper(), path, operation))
    parts = [
        f"<h1>{escape(document['info']['title'])}</h1><p>{escape(document['info']['description'])}</p>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>',
        *(f"<h2>{escape(tag)}</h2>{''.join(operations)}" for tag, operations in by_tag.items()),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    ]
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Callboard</title><style>{_STYLE}</style>'
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>'
    return f"{head}{viewport}{''.join(parts)}</body></html>".encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<details><summary><b>{method}</b> <code>{escape(path)}</code></summary>",
        f"<p>{escape(operation['summary'])}.</p>",
    ]
    if operation.get("parameters"):
        rows = [
            f"<tr><td><code>{escape(one['name'])}</code><td>{one['in']}<td>{escape(one.get('description', ''))}"
            for one in operation["parameters"]
        ]
        parts.append(f"<table><tr><th>Parameter<th>In<th>Description{''.join(rows)}</table>")
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(f"<p>Body: {_names(schema)}</p>")
    rows = [_answer(status, answer) for status, answer in operation["responses"].items()]
    return "".join([*parts, f"<table><tr><th>Status<th>Description<th>Schema{''.join(rows)}</table></details>"])


def _answer(status: str, answer: dict[str, Any]) -> str:
    names = ", ".join(_names(content["schema"]) for content in answer.get("content", {}).values())
    return f"<tr><td>{status}<td>{escape(answer['description'])}<td>{names}"


def _names(schema: dict[str, Any]) -> str:
    """Return links to the schemas that a schema refers to."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    return " or ".join(_names(kind) for kind in schema["anyOf"]) if "anyOf" in schema else "text"


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
    name = escape(name)
    return f'<details id="{name}"><summary><code>{name}</code></summary><pre>{escape(text)}</pre></details>'
