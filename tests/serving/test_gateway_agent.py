"""An agent program of others, Pydantic AI, uses a gateway against a scripted endpoint.

It runs in an environment of its own, whose interpreter `TOOLMASTER_AGENT_PYTHON` names:
`pip install "pydantic-ai-slim[mcp,openai]"`.
"""

import json
import os
import subprocess
import sys

import pytest
from fake_endpoint import http_server

from toolmaster.runs import read_trajectories
from toolmaster.types import Phase

PYTHON = os.environ.get("TOOLMASTER_AGENT_PYTHON", "")

AGENT = """
import asyncio, os, sys
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

async def main():
    words = ["-m", "toolmaster", "gateway", "shop.py"]
    server = StdioTransport(sys.argv[1], words, env=dict(os.environ))
    provider = OpenAIProvider(base_url=sys.argv[2], api_key="none")
    model = OpenAIChatModel("scripted", provider=provider)
    agent = Agent(model, toolsets=[MCPToolset(server)])
    result = await agent.run("What does a rug cost?")
    print(result.output)

asyncio.run(main())
"""

SHOP = '''
EFFECTS = {"get_price": "read"}

def get_price(item: str) -> int:
    """Price of an item in dollars."""
    return 8990
'''

CALLS = [
    ("try_call", {"tool": "get_price", "arguments": {"item": "rug"}, "task": "Price of a rug"}),
    ("note_lesson", {"tool": "get_price", "lesson": "divide by 100"}),
    ("get_price", {"item": "rug"}),
]


def scripted(asked):
    """An endpoint that makes the calls one after the other and then answers."""

    def answer(_path, body):
        asked.append(body)
        done = sum(message["role"] == "tool" for message in body["messages"])
        message = {"role": "assistant", "content": "89.90 dollars"}
        if done < len(CALLS):
            name, arguments = CALLS[done]
            function = {"name": name, "arguments": json.dumps(arguments)}
            calls = [{"id": f"call_{done}", "type": "function", "function": function}]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        reason = "tool_calls" if done < len(CALLS) else "stop"
        choice = {"index": 0, "finish_reason": reason, "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "scripted",
                     "choices": [choice], "usage": usage}  # fmt: skip

    return answer


@pytest.mark.skipif(not PYTHON, reason="TOOLMASTER_AGENT_PYTHON names no environment of an agent")
def test_an_agent_program_tries_notes_and_calls(tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "agent.py").write_text(AGENT)
    lessons = str(tmp_path / "experience.jsonl")
    # The gateway finds the package by PYTHONPATH; the agent must not find ours before its own.
    env = {**os.environ, "TOOLMASTER_EXPERIENCE": lessons, "PYTHONPATH": os.getcwd()}
    asked = []
    with http_server(scripted(asked)) as address:
        done = subprocess.run(
            [PYTHON, "agent.py", sys.executable, f"{address}/v1"],
            check=False, cwd=tmp_path, env=env, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "89.90 dollars\n"
    offered = [tool["function"]["name"] for tool in asked[0]["tools"]]
    assert offered == ["get_price", "try_call", "note_lesson"]
    told = [m["content"] for m in asked[-1]["messages"] if m["role"] == "tool"]
    assert told[0] == "8990\n[trial: run on a copy; nothing real has changed]"
    assert told[1].startswith("kept: get_price: divide by 100")
    assert told[2] == "8990"
    [record] = read_trajectories(tmp_path / "runs" / "gateway" / "trajectories.jsonl")
    assert record.query == "Price of a rug"
    assert [step.phase for step in record.calls()] == [Phase.TRIAL, Phase.EXECUTION]
    assert len((tmp_path / "experience.jsonl").read_text().splitlines()) == 1
