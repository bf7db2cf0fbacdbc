"""A small MCP server for trying Callboard."""
