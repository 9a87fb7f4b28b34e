"""Small files in the benchmarks' own formats, made here, and the way to replay calls on them."""

import asyncio
import json
from pathlib import Path

import pytest

from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts
from toolmaster.tasksets.replay import Replay, replay_policy
from toolmaster.types import ToolCall

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def write(tmp_path):
    """A function: write JSON to a file, return its path."""

    def save(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return save


@pytest.fixture
def play():
    """A function: replay known calls on a task set; returns the trajectories."""

    def run(tasks, replays, protocol=Protocol.TRIAL):
        async def work():
            requests = [
                RolloutRequest(tasks[task_id], policy=replay_policy(replay, protocol))
                for task_id, replay in replays.items()
            ]
            async with tasks.open():
                return await run_rollouts(requests, ScriptedPolicy(()), protocol, tasks.limits)

        return asyncio.run(work())

    return run


@pytest.fixture
def replay():
    """A function: a replay of calls, each a name and its arguments, and an answer."""

    def make(*calls, answer="1640"):
        named = [{"name": name, "arguments": arguments} for name, arguments in calls]
        return Replay(calls=named, answer=answer)

    return make


@pytest.fixture
def calls_of():
    """A function: a call of each tool that a task needs, with arguments of the right types."""
    values = {"string": "x", "integer": 1, "number": 1, "boolean": True, "object": {}, "array": []}

    def make(task):
        tools, calls = task.make_tools(), []
        for name in task.needed:
            parameters = tools[name].parameters
            required = parameters.get("required", ())
            types = {key: parameters["properties"][key]["type"] for key in required}
            arguments = {key: values[kind] for key, kind in types.items()}
            calls.append(ToolCall(name=name, arguments=arguments))
        return calls

    return make


@pytest.fixture
def shared():
    """A function: a file of the shared data; the test is skipped without it."""

    def find(name):
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"needs {path}, which is not part of the project")
        return path

    return find
