"""Every method of the contract has a required role."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor

from callboard.auth.v1 import auth_pb2
from libs.rpc.policy import HEALTH_SERVICE, REFLECTION_SERVICE, load_policy, request_types

_PROTOS = Path(__file__).parents[2] / "protos"
_OPEN = "/callboard.health.v1.ReadinessService/GetReadiness"


def methods() -> Iterator[MethodDescriptor]:
    """All methods of all services, found by their files, so that new ones are included."""
    for file in sorted(_PROTOS.glob("callboard/**/*.proto")):
        module = ".".join(file.relative_to(_PROTOS).with_suffix("").parts) + "_pb2"
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
            yield from service.methods


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


POLICY = load_policy({method.containing_service.full_name for method in methods()})


def test_contract_has_methods() -> None:
    assert len(POLICY) >= 20


@pytest.mark.parametrize("method", list(methods()), ids=path)
def test_every_method_has_a_required_role(method: MethodDescriptor) -> None:
    role = method.GetOptions().Extensions[auth_pb2.required_role]
    assert role != auth_pb2.ROLE_UNSPECIFIED
    assert POLICY[path(method)].role == (None if path(method) == _OPEN else role)


@pytest.mark.parametrize("method", list(methods()), ids=path)
def test_viewer_may_call_what_rest_reads_with_get(method: MethodDescriptor) -> None:
    verb = method.GetOptions().Extensions[annotations_pb2.http].WhichOneof("pattern")
    reads = verb == "get" if verb else method.name.startswith("Get")
    assert POLICY[path(method)].is_read is reads


def test_only_health_and_readiness_need_no_key() -> None:
    others = load_policy([HEALTH_SERVICE, REFLECTION_SERVICE])
    assert {found for found, access in POLICY.items() if access.role is None} == {_OPEN}
    opened = {found for found, access in others.items() if access.role is None}
    assert opened == {f"/{HEALTH_SERVICE}/{name}" for name in ("Check", "List", "Watch")} & set(others)


def test_unknown_service_is_an_error() -> None:
    with pytest.raises(KeyError):
        load_policy(["callboard.nothing.v1.NothingService"])


def test_every_request_type_is_found() -> None:
    services = {method.containing_service.full_name for method in methods()}
    assert {kind.DESCRIPTOR.name for kind in request_types(services)} >= {"CreateAgentRequest", "SubmitCommandRequest"}
