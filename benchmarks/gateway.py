"""What a gateway costs: time added to a call, and memory beside the same source opened directly.

    python benchmarks/gateway.py [--calls 400]

A small MCP server is called by the official client directly and through `toolmaster gateway`, both
over stdio, in turns within one run. Memory is the sum of the proportional set sizes of the
processes of each side, without the client; the other side is this package with the same source
open. Aims: 5 ms and 60 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mcp import Client, StdioServerParameters, stdio_client

AIM_MS, AIM_MB = 5.0, 60.0
SERVER = """
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("echo")

@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def echo(text: str) -> str:
    "Return the text."
    return text

server.run()
"""
OPENED = """
import asyncio, sys
from toolmaster.tools.sources import open_sources

async def main():
    async with open_sources([sys.argv[1]]):
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def children(pid: int) -> list[int]:
    """Return a process and all below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in below for one in children(int(child)))]


def megabytes(pids: list[int]) -> float:
    """Return the memory of some processes; what they share counts once."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6


async def timed(client: Client) -> float:
    """Return the milliseconds of one call."""
    started = time.perf_counter()
    result = await client.call_tool("echo", {"text": "hello"})
    taken = 1000 * (time.perf_counter() - started)
    assert result.content[0].text == "hello"
    return taken


async def main(calls: int) -> None:
    """Call both ways in turns and print the difference."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "server.py").write_text(SERVER)
        server = {"command": sys.executable, "args": [str(place / "server.py")]}
        (place / "mcp.json").write_text(json.dumps({"mcpServers": {"echo": server}}))
        data = str(place / "experience.jsonl")
        environment = {**os.environ, "TOOLMASTER_EXPERIENCE": data}
        direct = StdioServerParameters(**server)
        words = ["-m", "toolmaster", "gateway", "mcp.json"]
        through = StdioServerParameters(
            command=sys.executable, args=words, cwd=folder, env=environment
        )
        before = set(children(os.getpid()))
        async with Client(stdio_client(through)) as gateway:
            await timed(gateway)
            ours = set(children(os.getpid())) - before
            async with Client(stdio_client(direct)) as alone:
                pairs = [(await timed(alone), await timed(gateway)) for _ in range(calls)]
            used = megabytes(sorted(ours))
        opened = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            OPENED,
            str(place / "mcp.json"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await opened.stdout.readline()
        beside = megabytes(children(opened.pid))
        await opened.communicate(b"")
    plain, whole = zip(*pairs, strict=True)
    added = statistics.median(whole) - statistics.median(plain)
    least = min(whole) - min(plain)
    print(f"direct   {statistics.median(plain):7.2f} ms a call; fastest {min(plain):.2f}")
    print(f"gateway  {statistics.median(whole):7.2f} ms a call; fastest {min(whole):.2f}")
    print(f"added    {added:7.2f} ms; fastest {least:.2f} (aim {AIM_MS:g}); of {calls} calls each")
    print(f"memory   {used:7.1f} MB, {used - beside:.1f} MB more than the source (aim {AIM_MB:g})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400)
    asyncio.run(main(parser.parse_args().calls))
