"""An agent with the tools of an MCP server: here the time server (`pip install mcp-server-time`).

python examples/agent_mcp.py openai:NAME
"""

import json
import sys
import tempfile
from pathlib import Path

import toolmaster as tm

SERVERS = {
    "mcpServers": {
        "time": {
            "command": sys.executable,
            "args": ["-m", "mcp_server_time", "--local-timezone", "Europe/Berlin"],
        }
    }
}

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "mcp.json"
    file.write_text(json.dumps(SERVERS))
    agent = tm.Agent(sys.argv[1], tools=[f"{file} read=get_*,convert_*"])
    result = agent.run("When it is 16:30 in Berlin, what time is it in Tokyo?")

for step in result.calls():
    print(step.phase.value, step.call.name, json.dumps(step.call.arguments))
print("answer:", result.answer)
