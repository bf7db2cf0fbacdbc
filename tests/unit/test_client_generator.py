"""The generator of the clients: what it reads from the contract, and what it cannot generate."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from callboard.descriptors import contract
from libs.contract import all_methods
from tools.protos.artifacts import PACKAGE, stale_files
from tools.protos.clients.catalog import Catalog, read_catalog
from tools.protos.clients.names import method_name, word
from tools.protos.clients.render import FILES, TEMPLATES, docstring, write_clients
from tools.protos.clients.schema import GeneratorError, Schema


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(Schema(contract()))


def _changed(change: Callable[[FileDescriptorSet], None]) -> Schema:
    files = contract()
    change(files)
    return Schema(files)


def _file(files: FileDescriptorSet, name: str) -> FileDescriptorProto:
    return next(file for file in files.file if file.name.endswith(f"/{name}.proto"))


def _service(files: FileDescriptorSet, file: str, name: str) -> ServiceDescriptorProto:
    return next(service for service in _file(files, file).service if service.name == name)


def _method(files: FileDescriptorSet, file: str, name: str) -> MethodDescriptorProto:
    services = _file(files, file).service
    return next(method for service in services for method in service.method if method.name == name)


@pytest.mark.parametrize(
    ("service", "method", "name"),
    [
        ("AgentService", "CreateAgent", "create"),
        ("CommandService", "ListCommands", "list"),
        ("CommandService", "CancelCommands", "cancel_many"),
        ("CommandService", "BulkSubmitCommands", "submit_many"),
        ("DeadLetterService", "RequeueDeadLetter", "requeue"),
        ("EventService", "AppendEvents", "append"),
        ("IdentityService", "GetPrincipal", "get_principal"),
    ],
)
def test_method_is_named_after_its_verb(service: str, method: str, name: str) -> None:
    siblings = {"CancelCommand", "SubmitCommand", "RequeueDeadLetter", "ListCommands", "AppendEvents"}
    assert method_name(service, method, siblings) == name


def test_enum_value_is_a_word_without_its_prefix() -> None:
    assert word("callboard.sessions.v1.OnConflict", "ON_CONFLICT_RETURN_EXISTING") == "return_existing"
    assert word("callboard.errors.v1.ErrorReason", "ERROR_REASON_TOOL_ERROR") == "TOOL_ERROR"


def test_methods_with_an_idempotency_key_are_repeatable(catalog: Catalog) -> None:
    methods = [method for resource in catalog.resources for method in resource.methods]
    assert len(methods) == sum(not method.is_stream for method in all_methods())
    assert all(method.repeatable for method in methods)


def test_method_without_key_is_not_repeatable() -> None:
    def drop_key(files: FileDescriptorSet) -> None:
        message = next(one for one in _file(files, "agents").message_type if one.name == "DeleteAgentRequest")
        message.field[2].name = "note"

    (agents,) = [one for one in read_catalog(_changed(drop_key)).resources if one.name == "Agents"]
    assert {method.name for method in agents.methods if not method.repeatable} == {"delete"}


def test_writable_fields_of_the_resource_become_parameters(catalog: Catalog) -> None:
    (agents,) = [resource for resource in catalog.resources if resource.name == "Agents"]
    create, update = (next(one for one in agents.methods if one.name == name) for name in ("create", "update"))
    assert [field.name for field in create.positional] == ["agent_id"]
    assert "connector" in {field.name for field in create.keywords if field.required}
    assert not {"agent", "etag", "created_at", "updated_at"} & {field.name for field in create.keywords}
    assert "etag" in {field.name for field in update.keywords}
    assert not any(field.required for field in update.keywords)


def test_new_rpc_becomes_a_new_method(tmp_path: Path) -> None:
    def rename(files: FileDescriptorSet) -> None:
        _method(files, "agents", "GetAgent").name = "InspectAgent"

    write_clients(read_catalog(_changed(rename)), tmp_path)
    assert "async def inspect(" in (tmp_path / "callboard/resources/asynchronous.py").read_text()
    assert "    def inspect(" in (tmp_path / "callboard/resources/synchronous.py").read_text()


def test_new_service_becomes_an_attribute_of_both_clients(tmp_path: Path) -> None:
    def rename(files: FileDescriptorSet) -> None:
        _service(files, "identity", "IdentityService").name = "QuotaService"
        _service(files, "commands", "DeadLetterService").name = "GraveService"

    write_clients(read_catalog(_changed(rename)), tmp_path)
    for name in ("client", "sync_client"):
        text = (tmp_path / f"callboard/{name}.py").read_text()
        assert "self.quota = Quota(session)" in text
        assert "self.grave = Grave(command)" in text


def test_stream_without_a_handwritten_method_is_reported() -> None:
    def stream(files: FileDescriptorSet) -> None:
        _method(files, "agents", "GetAgent").server_streaming = True

    with pytest.raises(GeneratorError, match=r"^callboard\.agents\.v1\.AgentService\.GetAgent is a stream"):
        read_catalog(_changed(stream))


def test_two_parameters_with_one_name_are_rejected() -> None:
    def rename(files: FileDescriptorSet) -> None:
        message = next(one for one in _file(files, "agents").message_type if one.name == "GetAgentRequest")
        message.field[0].name = "timeout"

    with pytest.raises(GeneratorError, match=r"^callboard\.agents\.v1\.AgentService\.GetAgent would have .*`timeout`"):
        read_catalog(_changed(rename))


def test_element_without_a_comment_is_reported() -> None:
    with pytest.raises(GeneratorError, match=r"^callboard\.[a-zA-Z0-9.]+ has no comment$"):
        read_catalog(_changed(lambda files: _file(files, "agents").ClearField("source_code_info")))


def test_template_change_changes_both_clients(tmp_path: Path, catalog: Catalog) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(TEMPLATES, templates)
    resources = templates / "resources.py.jinja"
    resources.write_text(resources.read_text().replace("self._calls", "self._connection"))
    write_clients(catalog, tmp_path / "out", templates)
    write_clients(catalog, tmp_path / "kept")
    assert stale_files(tmp_path / "out", tmp_path / "kept") == [
        "callboard/resources/asynchronous.py",
        "callboard/resources/synchronous.py",
    ]


def test_committed_clients_match_the_committed_contract(tmp_path: Path, catalog: Catalog) -> None:
    write_clients(catalog, tmp_path)
    assert [name for name in FILES if (tmp_path / name).read_text() != (PACKAGE / name).read_text()] == []


@pytest.mark.parametrize("length", [100, 110, 113, 114, 115, 130, 400])
def test_docstring_fits_the_line_length(length: int) -> None:
    text = " ".join(["word"] * (length // 5))
    lines = (" " * 4 + docstring(text, 4)).splitlines()
    assert all(len(line) <= 120 for line in lines)


def test_response_with_additional_fields_extends_its_resource(catalog: Catalog) -> None:
    started = next(one for one in catalog.returned if one.name == "StartSessionResponse")
    assert (started.base, [field.name for field in started.fields]) == ("Session", ["created"])
    (sessions,) = [resource for resource in catalog.resources if resource.name == "Sessions"]
    answers = {method.name: method.answer.type for method in sessions.methods}
    assert answers["get"] == "_types.Session"
    assert answers["start"] == "_types.StartSessionResponse"
    assert answers["stop"] == "_types.Session | None"


def test_additional_field_with_the_name_of_a_resource_field_is_rejected() -> None:
    def rename(files: FileDescriptorSet) -> None:
        message = next(one for one in _file(files, "sessions").message_type if one.name == "StartSessionResponse")
        message.field[1].name = "etag"

    with pytest.raises(
        GeneratorError, match=r"^callboard\.sessions\.v1\.StartSessionResponse\.etag has the name of a "
    ):
        read_catalog(_changed(rename))
