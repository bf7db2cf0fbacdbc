"""The four command types. Each is one request to the server."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcp import ClientSession, MCPError
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import InputRequiredResult, PaginatedRequestParams, Prompt, RequestParamsMeta, Result

from libs.attempts import AttemptFailedError, FailureCode
from services.runner.executors.failures import failed, invalid_argument
from services.runner.executors.mcp import errors
from services.runner.executors.mcp.arguments import Parameters
from services.runner.executors.mcp.http import Exchange
from services.runner.executors.mcp.results import excerpt
from services.runner.executors.mcp.tools import ToolCache, described
from services.runner.executors.ports import Execution

_MAX_PAGES = 100


@dataclass(frozen=True, slots=True, eq=False)
class McpAttempt:
    """One attempt at one command, with everything that it needs to run."""

    execution: Execution
    session: ClientSession
    tools: ToolCache
    progress: ProgressFnT
    exchange: Exchange
    explain: Callable[[MCPError], AttemptFailedError | None]
    """Returns the failure if the error means that the connection is lost."""

    @property
    def meta(self) -> RequestParamsMeta:
        """The idempotency key, by which a server can tell a repeated call from a new one."""
        meta = {"callboard/command-id": self.execution.command_id, "callboard/attempt": self.execution.attempt}
        return cast(RequestParamsMeta, meta)

    def failure(
        self, error: MCPError, subject: str, meanings: dict[int, FailureCode], *, repeatable: bool = True
    ) -> AttemptFailedError:
        """Translate a protocol error about `subject`."""
        return self.explain(error) or errors.answered_with_error(
            error, subject=subject, repeatable=repeatable, exchange=self.exchange, meanings=meanings
        )


async def run_tool(attempt: McpAttempt) -> Mapping[str, Any]:
    """Run `{tool, arguments}`: check the arguments against the tool's schema, then call the tool."""
    params = Parameters(attempt.execution.params, ("tool", "arguments"))
    name, arguments = params.name("tool"), params.arguments()
    subject = f"tool {excerpt(name, 200)!r}"
    repeatable = attempt.execution.retry_tool_errors
    try:
        known = await attempt.tools.find(name)
        known.schema.check(arguments)
        repeatable = repeatable or known.repeatable
        result = await attempt.session.call_tool(
            name, arguments, progress_callback=attempt.progress, meta=attempt.meta, allow_input_required=True
        )
    except MCPError as error:
        raise attempt.failure(error, subject, errors.TOOL_MEANINGS, repeatable=repeatable) from error
    except (ValueError, RuntimeError) as error:
        message = f"its result breaks the protocol: {error}"
        raise errors.invalid_answer(subject, message, repeatable=repeatable) from error
    if isinstance(result, InputRequiredResult):
        raise _wants_input(subject)
    if result.is_error:
        raise errors.tool_error(name, result, retryable=repeatable)
    return _dump(result, "content", "structuredContent") | {"isError": False}


async def list_tools(attempt: McpAttempt) -> Mapping[str, Any]:
    """Run `{}`: return the server's tools, as MCP describes them."""
    Parameters(attempt.execution.params, ())
    try:
        return {"tools": [described(tool) for tool in await attempt.tools.all()]}
    except MCPError as error:
        raise attempt.failure(error, "the list of tools", {}) from error
    except (ValueError, RuntimeError) as error:
        raise errors.invalid_answer("the list of tools", str(error), repeatable=True) from error


async def read_resource(attempt: McpAttempt) -> Mapping[str, Any]:
    """Run `{uri}`: return the contents of a resource."""
    uri = Parameters(attempt.execution.params, ("uri",)).name("uri")
    subject = f"resource {excerpt(uri, 200)!r}"
    try:
        result = await attempt.session.read_resource(uri, meta=attempt.meta, allow_input_required=True)
    except MCPError as error:
        raise attempt.failure(error, subject, errors.RESOURCE_MEANINGS) from error
    except (ValueError, RuntimeError) as error:
        raise errors.invalid_answer(subject, str(error), repeatable=True) from error
    if isinstance(result, InputRequiredResult):
        raise _wants_input(subject)
    return _dump(result, "contents")


async def get_prompt(attempt: McpAttempt) -> Mapping[str, Any]:
    """Run `{name, arguments}`: return the messages of a prompt with its arguments filled in."""
    params = Parameters(attempt.execution.params, ("name", "arguments"))
    name, arguments = params.name("name"), params.texts()
    subject = f"prompt {excerpt(name, 200)!r}"
    try:
        # Checked first, because servers answer an unknown name and a missing argument alike, some without a code.
        _check_prompt(subject, await _find_prompt(attempt.session, name), arguments)
        result = await attempt.session.get_prompt(name, arguments, meta=attempt.meta, allow_input_required=True)
    except MCPError as error:
        raise attempt.failure(error, subject, errors.PROMPT_MEANINGS) from error
    except (ValueError, RuntimeError) as error:
        raise errors.invalid_answer(subject, str(error), repeatable=True) from error
    if isinstance(result, InputRequiredResult):
        raise _wants_input(subject)
    return _dump(result, "description", "messages")


COMMANDS: Mapping[str, Callable[[McpAttempt], Awaitable[Mapping[str, Any]]]] = {
    "run_tool": run_tool,
    "list_tools": list_tools,
    "read_resource": read_resource,
    "get_prompt": get_prompt,
}


async def _find_prompt(session: ClientSession, name: str) -> Prompt | None:
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await session.list_prompts(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        for prompt in page.prompts:
            if prompt.name == name:
                return prompt
        cursor = page.next_cursor
        if cursor is None:
            break
    return None


def _check_prompt(subject: str, prompt: Prompt | None, arguments: Mapping[str, str]) -> None:
    if prompt is None:
        raise failed(FailureCode.TOOL_NOT_FOUND, f"the agent has no {subject}")
    for argument in prompt.arguments or ():
        if argument.required and argument.name not in arguments:
            raise invalid_argument(f"params.arguments.{excerpt(argument.name, 100)}", "is required")


def _dump(result: Result, *fields: str) -> dict[str, Any]:
    """Return these fields of a result as MCP spells them. Fields that the server left out stay out."""
    dumped = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return {field: dumped[field] for field in fields if field in dumped}


def _wants_input(subject: str) -> AttemptFailedError:
    return failed(
        FailureCode.AGENT_PROTOCOL_ERROR,
        f"{subject} asks for input, which this version of Callboard cannot provide",
    )
