"""A scripted teacher behind a real endpoint: the oracle, which knows the embedded world's tasks."""

import asyncio

import pytest
from fake_endpoint import FakeModel

from toolmaster.protocols import Protocol
from toolmaster.tasksets import taskset
from toolmaster.teacher.filters import explores
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import Behaviours

TAGS = ("<tool_response>", "</tool_response>")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "JUDGE_API_KEY", "PROPOSER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def by_oracle(demonstrate):
    """A function: the oracle's trajectory of a task of the embedded world."""
    return demonstrate


@pytest.fixture(scope="session")
def explored(demonstrate):
    """Training tasks of the embedded world of which the oracle tries every tool that it uses."""
    tasks = taskset("world:short").for_training()[:90]
    return tasks.without(i for i in tasks.ids if not explores(demonstrate(i)))


@pytest.fixture
def oracle_model(world, explored):
    """A function: an endpoint with the oracle behind it, for these tasks and the first others."""

    def make(protocol=Protocol.TRIAL, behaviours=Behaviours()):  # noqa: B008
        ids = {*explored.ids, *taskset("world:short").for_training()[:12].ids}
        drawn = [world.draw(task_id) for task_id in ids]
        known = {task.task.query: task for task in drawn}
        assert len(known) == len(ids), "two tasks ask the same"

        def reply(messages):
            queries = [m["content"] for m in messages if m["role"] == "user"]
            oracle = OraclePolicy(known[queries[0]], protocol, behaviours)
            return asyncio.run(_next_turn(oracle, messages))

        return FakeModel(reply)

    return make


async def _next_turn(oracle, messages):
    """What the oracle says after this conversation: it plays its turns up to there once more."""
    acting = oracle.conversation((), ())
    for message in messages[2:]:
        if message["role"] == "assistant":
            assert (await acting.complete()).text == message["content"]
        else:
            acting.observe(message["content"].removeprefix(TAGS[0]).removesuffix(TAGS[1]))
    return (await acting.complete()).text
