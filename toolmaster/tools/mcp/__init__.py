"""MCP servers as a tool source, over stdio and streamable HTTP with the official SDK.

`async with open_mcp(read_mcp_servers(path)) as tools:` yields a `ToolSet` of live tools. Their
state cannot be copied, so trials call only tools that declare themselves read-only.
"""

from toolmaster.tools.mcp.servers import McpServer, read_mcp_servers
from toolmaster.tools.mcp.source import open_mcp

__all__ = ["McpServer", "open_mcp", "read_mcp_servers"]
