"""A task as an MCP server: any agent program can do it, and its trajectory is recorded.

    python examples/serve_task.py

The command `toolmaster serve-session TASK_ID` does the same; here a client of the official package
connects to it, tries a tool, and answers.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

import toolmaster as tm

TASK = tm.taskset("world:short").split("test")[0]


async def main() -> None:
    """Connect, list the tools, answer, and read the record."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "served.jsonl"
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "toolmaster", "serve-session", TASK.id, "--out", str(record)],
        )
        async with Client(stdio_client(server)) as client:
            listed = await client.list_tools()
            print("tools:", ", ".join(tool.name for tool in listed.tools))
            await client.call_tool("begin_execution", {"experience": "none"})
            await client.call_tool("answer", {"text": "I do not know."})
        [trajectory] = tm.read_trajectories(record)
        print("query: ", trajectory.query)
        print("success:", trajectory.success)


asyncio.run(main())
