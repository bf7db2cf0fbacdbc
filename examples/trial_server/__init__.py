"""A small MCP server to try Callboard with."""
