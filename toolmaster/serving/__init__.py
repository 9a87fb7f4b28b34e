"""Sessions offered to others: a task's tools as an MCP server."""
