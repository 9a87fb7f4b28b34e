"""Serves sessions: the tools of a task as an MCP server."""
