"""SQL as text: its comments, its statements, and the mark of what cannot run in a transaction."""

import re

MARK = "-- callboard: no transaction"
_PIECE = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|(?P<tag>\$[a-z_]*\$).*?(?P=tag)|;|[^-/'\"$;]+|.", re.DOTALL
)


def is_without_transaction(text: str) -> bool:
    """Tell whether the file begins with the mark."""
    return text.lstrip().startswith(MARK)


def without_comments(text: str) -> str:
    """Return the text without its comments; what stands in quotes stays."""
    return "".join(piece for piece in _pieces(text) if not piece.startswith(("--", "/*")))


def split(text: str) -> tuple[str, ...]:
    """Return the statements of a script, without comments and semicolons."""
    statements = [""]
    for piece in _pieces(text):
        if piece == ";":
            statements.append("")
        elif not piece.startswith(("--", "/*")):
            statements[-1] += piece
    return tuple(statement.strip() for statement in statements if statement.strip())


def _pieces(text: str) -> list[str]:
    return [found.group() for found in _PIECE.finditer(text)]
