"""`tools/setup` makes uv use the package index that pip uses, and compile what it installs."""

import runpy
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "tools" / "setup"


@pytest.fixture
def uv_variables() -> Callable[[str], dict[str, str]]:
    function: Callable[[str], dict[str, str]] = runpy.run_path(str(_SCRIPT))["uv_variables"]
    return function


def test_settings_of_pip_become_those_of_uv(uv_variables: Callable[[str], dict[str, str]]) -> None:
    variables = uv_variables(
        "global.extra-index-url='file:///a/simple file:///b/simple'\n"
        "global.find-links='/wheels /more'\n"
        "global.index-url='file:///mirror/simple'\n"
        "install.trusted-host='mirror'\n"
    )
    assert variables["UV_DEFAULT_INDEX"] == "file:///mirror/simple"
    assert variables["UV_INDEX"] == "file:///a/simple file:///b/simple"
    assert variables["UV_FIND_LINKS"] == "/wheels,/more"
    assert variables["UV_INSECURE_HOST"] == "mirror"
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_environment_of_pip_takes_precedence_over_its_files(uv_variables: Callable[[str], dict[str, str]]) -> None:
    variables = uv_variables(":env:.index-url='file:///environment'\nglobal.index-url='file:///file'\n")
    assert variables["UV_DEFAULT_INDEX"] == "file:///environment"


def test_no_variables_are_set_without_settings_of_pip(uv_variables: Callable[[str], dict[str, str]]) -> None:
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "SSL_CERT_FILE"} & uv_variables("").keys()


def test_installed_packages_are_compiled() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    sources = {path.parent / path.stem for path in packages.rglob("*.py")}
    compiled = {path.parent.parent / path.name.partition(".")[0] for path in packages.rglob("__pycache__/*.pyc")}
    assert len(sources & compiled) > 0.95 * len(sources)  # some packages bring templates that are no Python
