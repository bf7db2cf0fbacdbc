"""The version of Callboard."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DISTRIBUTION = "callboard-suite"


def installed_version() -> str:
    """Return the version of the installed distribution, or that of the checkout."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
