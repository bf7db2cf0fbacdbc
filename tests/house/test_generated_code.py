"""Generated code is fresh and complete: each RPC has a method in both clients."""

import inspect
import shutil
from pathlib import Path

import pytest

import callboard
from callboard import Client, SyncClient
from callboard.descriptors import contract
from tools.protos import __main__ as protos
from tools.protos.artifacts import PACKAGE
from tools.protos.compiler import Compiler

STALE = "callboard/resources/synchronous.py"


def test_stale_file_fails_the_check_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(PACKAGE, kept, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(protos, "PACKAGE", kept)
    compiler = Compiler(tmp_path)
    protos.check(compiler, tmp_path)
    (kept / STALE).write_text((kept / STALE).read_text() + "\n# edited\n")
    with pytest.raises(SystemExit) as caught:
        protos.check(compiler, tmp_path)
    assert str(caught.value) == f"generated files are stale; run `make protos`:\n  {STALE}"


@pytest.mark.parametrize("kind", [Client, SyncClient])
async def test_each_rpc_has_a_method(kind: type[Client | SyncClient]) -> None:
    client = kind("key")
    resources = {name: value for name, value in vars(client).items() if not name.startswith("_")}
    methods = {
        f"{type(resource).__name__}.{name}"
        for resource in resources.values()
        for name, _ in inspect.getmembers(resource, inspect.ismethod)
        if not name.startswith("_")
    }
    rpcs = [method.name for file in contract().file for service in file.service for method in service.method]
    by_hand = ["StreamEvents"]
    assert len(methods) == len(rpcs) - len(by_hand)
    assert callable(client.follow)
    await client.close() if isinstance(client, Client) else client.close()


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    from callboard.resources import asynchronous, synchronous

    for name, ours in inspect.getmembers(asynchronous, inspect.isclass):
        theirs = getattr(synchronous, name, None)
        if ours.__module__ == asynchronous.__name__:
            for method, function in inspect.getmembers(ours, inspect.isfunction):
                if method != "__init__":
                    twin = getattr(theirs, method)
                    assert inspect.signature(function).parameters == inspect.signature(twin).parameters
                    assert function.__doc__ == twin.__doc__


def test_package_re_exports_what_it_lists() -> None:
    assert {name: getattr(callboard, name).__name__ for name in callboard.__all__} == {
        name: name for name in callboard.__all__
    }
    with pytest.raises(AttributeError, match=r"^module 'callboard' has no attribute 'aio'$"):
        getattr(callboard, "aio")  # noqa: B009 - mypy knows that it is not there
