"""A model in place of a service: what it is told, and what becomes of its answers."""

import asyncio
import json

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.errors import ConfigError, PolicyError
from toolmaster.tasksets.simulator import Visit, open_simulator
from toolmaster.tools import Tool, ToolRefusal

PARAMETERS = {"type": "object", "properties": {"q": {}}}
TOOL = Tool("find", "Finds towns.", PARAMETERS, lambda *_: None, own_name="Towns/find")


@pytest.fixture
def simulate(monkeypatch):
    """A function: the answer of a simulator at this address."""
    monkeypatch.setenv("SIMULATOR_API_KEY", "none")

    def run(url, arguments, visits=(), model="openai:m"):
        async def work():
            examples = {"Towns/find": {"towns": ["str"]}}
            async with open_simulator(model, url, examples) as simulator:
                return await simulator.answer(TOOL, arguments, visits)

        return asyncio.run(work())

    return run


def test_it_sees_documentation_example_and_the_calls_before(simulate):
    model = FakeModel(in_turn("ready", '{"error": null, "response": {"towns": ["Ashby"]}}'))
    visits = [Visit("find", {"q": str(n)}, n) for n in range(20)]
    with model.serve() as url:
        assert simulate(url, {"q": "a"}, visits) == {"towns": ["Ashby"]}
    [_, [_, question]] = model.asked
    asked = json.loads(question["content"])
    assert asked["tool"]["description"] == "Finds towns."
    assert asked["example"] == {"towns": ["str"]}
    assert asked["call"] == {"q": "a"}
    assert [earlier["response"] for earlier in asked["earlier"]] == list(range(12, 20))


def test_its_errors_are_refusals(simulate):
    model = FakeModel(in_turn("ready", '{"error": "q is missing", "response": null}'))
    with model.serve() as url, pytest.raises(ToolRefusal, match="q is missing"):
        simulate(url, {})


def test_a_simulator_that_fails_is_no_answer(simulate):
    wrong = pytest.raises(PolicyError, match="the simulator wrote no valid answer: Input should")
    with FakeModel(in_turn("a town")).serve() as url, wrong:
        simulate(url, {})
    with pytest.raises(PolicyError, match=r"the simulator 'm' at http://127\.0\.0\.1:9/v1: "):
        simulate("http://127.0.0.1:9/v1", {})
    with pytest.raises(ConfigError, match="openai:NAME; received"):
        simulate("http://127.0.0.1:9/v1", {}, model="hf:m")
