"""The one place that translates errors of MCP and HTTP into Callboard's failures."""

from mcp import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, CallToolResult, TextContent

from libs.attempts import AttemptFailedError, FailureCode
from services.runner.executors.failures import failed
from services.runner.executors.mcp.frames import RESULT_TOO_LONG
from services.runner.executors.mcp.http import Exchange
from services.runner.executors.mcp.results import excerpt, too_large

RESOURCE_NOT_FOUND = -32002  # until protocol version 2025-11-25; INVALID_PARAMS since then

_BUSY = frozenset({429, 502, 503, 504})
_DENIED = frozenset({401, 403})


def answered_with_error(
    error: MCPError, *, subject: str, repeatable: bool, exchange: Exchange, meanings: dict[int, FailureCode]
) -> AttemptFailedError:
    """Translate a protocol error about `subject` (such as "tool 'echo'").

    `meanings` maps the codes that have a special meaning for this command type. Those errors are not retried. Other
    errors are retried if a repetition does no harm.
    """
    if error.code == RESULT_TOO_LONG:
        return too_large()
    if exchange.status in _BUSY or exchange.status in _DENIED:
        return failed(
            FailureCode.AGENT_UNAVAILABLE,
            f"{subject}: the server answered HTTP {exchange.status}",
            retryable=exchange.status in _BUSY,
            httpStatus=exchange.status,
        )
    code = meanings.get(error.code, FailureCode.AGENT_PROTOCOL_ERROR)
    if error.code == METHOD_NOT_FOUND:
        code = FailureCode.COMMAND_TYPE_UNKNOWN
    return failed(
        code,
        f"{subject}: {excerpt(error.message)}",
        retryable=repeatable and code is FailureCode.AGENT_PROTOCOL_ERROR,
        mcpCode=error.code,
    )


TOOL_MEANINGS = {INVALID_PARAMS: FailureCode.INVALID_ARGUMENTS}
PROMPT_MEANINGS = {INVALID_PARAMS: FailureCode.INVALID_ARGUMENTS}
RESOURCE_MEANINGS = {
    # The URI is the only parameter of a read, so an invalid parameter is an unknown URI.
    INVALID_PARAMS: FailureCode.TOOL_NOT_FOUND,
    RESOURCE_NOT_FOUND: FailureCode.TOOL_NOT_FOUND,
}


def tool_error(tool: str, result: CallToolResult, *, retryable: bool) -> AttemptFailedError:
    """Translate a tool's own error. Its text is meant for the caller of the tool."""
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    text = "\n".join(texts).strip() or "the tool failed without a message"
    return failed(FailureCode.TOOL_ERROR, excerpt(text), retryable=retryable, tool=excerpt(tool, 200))


def invalid_answer(subject: str, why: str, *, repeatable: bool) -> AttemptFailedError:
    """Return the error for an answer that is not valid for its request."""
    return failed(FailureCode.AGENT_PROTOCOL_ERROR, f"{subject}: {excerpt(why, 500)}", retryable=repeatable)
