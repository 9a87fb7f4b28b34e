"""Tools, turns and trajectories that the tests of experience share."""

import asyncio
import copy
import json
from dataclasses import replace

from toolmaster.experience import Lesson
from toolmaster.experience.lesson import schema_hash
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Effect, Score

ITEM = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}
VALUE = {"type": "object", "properties": {"item": {"type": "string"}, "to": {"type": "number"}}}


def price(state, arguments):
    state["calls"] += 1
    if arguments["item"] not in state["prices"]:
        raise ToolRefusal(f"unknown {arguments['item']!r}")
    return state["prices"][arguments["item"]] * state["factor"]


def put(state, arguments):
    state["prices"][arguments["item"]] = arguments["to"]
    return "done"


def make_tools(*, fork=True, source="shop", factor=100, doc="Price. Example: loaf -> 4"):
    tools = (
        Tool("price", doc, ITEM, price, Effect.READ, source=source),
        Tool("put", "Set a price", VALUE, put, Effect.WRITE, source=source),
    )
    state = {"prices": {"loaf": 4, "bun": 2}, "factor": factor, "calls": 0}
    return ToolSet(tools, state, copy.deepcopy if fork else None)


def call(name="price", **arguments):
    text = json.dumps({"name": name, "arguments": arguments})
    return f"<think>t</think><tool_call>{text}</tool_call>"


def told(text):
    return f"<think>t</think><experience>{text}</experience>"


def answered(text="2"):
    return f"<think>t</think><answer>{text}</answer>"


def run(tools, *turns, right=None, experience=""):
    """The trajectory of these turns; judged `right` or not, or without a verdict."""

    def check(_trajectory, _tools):
        return Score.of(right, answer=right, state=True)

    task = Task("t", "q", lambda: tools, check=check if right is not None else None)
    request = RolloutRequest(replace(task, experience=experience))
    policy = ScriptedPolicy(turns, name="someone@3")
    return asyncio.run(run_rollout(request, policy, Protocol.TRIAL, Limits()))


def make_lesson(tools=None, text="divide the result by 100", **fields):
    tool = (tools or make_tools())["price"]
    usual = {
        "tool": "price",
        "schema_hash": schema_hash(tool),
        "text": text,
        "arguments": {"item": "loaf"},
        "observation": "400",
        "repeatable": True,
        "source": tool.source,
        "when": "2030-01-02T03:04:05+00:00",
        "policy": "someone",
    }
    return Lesson(**(usual | fields))
