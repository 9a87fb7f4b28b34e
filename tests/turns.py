"""Turns of a policy, written by hand, and sessions that play them."""

import asyncio
import json

from toolmaster.types import Trajectory

EXPERIENCE = "<think>t</think><experience>as documented</experience>"
ANSWER = "<think>t</think><answer>done</answer>"


def call(name, /, **arguments):
    """A turn that calls a tool."""
    text = json.dumps({"name": name, "arguments": arguments})
    return f"<think>t</think><tool_call>{text}</tool_call>"


async def play(session, *turns):
    """All steps of these turns."""
    return [await session.step(turn) for turn in turns]


def verdict(task, given, tools):
    """The task's score of an answer."""
    trajectory = Trajectory(
        task_id=task.id, protocol="direct", policy="p", prompt=[], tools=[], answer=given
    )
    return asyncio.run(task.score(trajectory, tools))
