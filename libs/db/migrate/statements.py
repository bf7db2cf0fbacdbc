"""Splits SQL text into statements, and finds comments and the mark of migrations without a transaction."""

import re

MARK = "-- callboard: no transaction"
_PIECE = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|(?P<tag>\$[a-z_]*\$).*?(?P=tag)|;|[^-/'\"$;]+|.", re.DOTALL
)


def is_without_transaction(text: str) -> bool:
    """Return whether the text begins with the mark."""
    return text.lstrip().startswith(MARK)


def without_comments(text: str) -> str:
    """Return the text without its comments. Quoted text is kept as it is."""
    return "".join(piece for piece in _pieces(text) if not piece.startswith(("--", "/*")))


def split(text: str) -> tuple[str, ...]:
    """Return the statements of a script, without comments or semicolons."""
    statements = [""]
    for piece in _pieces(text):
        if piece == ";":
            statements.append("")
        elif not piece.startswith(("--", "/*")):
            statements[-1] += piece
    return tuple(statement.strip() for statement in statements if statement.strip())


def _pieces(text: str) -> list[str]:
    return [found.group() for found in _PIECE.finditer(text)]
