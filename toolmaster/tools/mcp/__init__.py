"""MCP servers as a tool source, over stdio and streamable HTTP with the official SDK.

`async with open_mcp(read_mcp_servers(path)) as tools:` gives a `ToolSet` of live tools. Their state
cannot be copied, so trials call only the tools that declare themselves read-only. The SDK is loaded
when servers are opened.
"""

from toolmaster.tools.mcp.servers import McpServer, read_mcp_servers
from toolmaster.tools.mcp.source import open_mcp

__all__ = ["McpServer", "open_mcp", "read_mcp_servers"]
