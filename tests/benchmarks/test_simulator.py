"""A model in place of a service: what it is told, and what becomes of its answers."""

import asyncio
import json

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.benchmarks.responses import History, Visit
from toolmaster.benchmarks.simulator import Simulator
from toolmaster.errors import PolicyError
from toolmaster.json_endpoint import JsonEndpoint
from toolmaster.tools import Tool, ToolRefusal

TOOL = Tool("find", "Finds towns.", {"type": "object", "properties": {"q": {}}}, lambda *_: None)


@pytest.fixture
def simulate(monkeypatch):
    """A function: the answer of a simulator at this address."""
    monkeypatch.setenv("SIMULATOR_API_KEY", "none")

    def run(url, arguments, visits=()):
        async def work():
            async with JsonEndpoint("simulator", "m", url, retries=0) as endpoint:
                simulator = Simulator(endpoint, {"find": {"towns": ["str"]}})
                assert simulator.name == "simulated by m"
                return await simulator.answer(TOOL, arguments, History(list(visits)))

        return asyncio.run(work())

    return run


def test_it_sees_documentation_example_and_the_calls_before(simulate):
    model = FakeModel(in_turn('{"error": null, "response": {"towns": ["Ashby"]}}'))
    visits = [Visit("find", {"q": str(n)}, True, n) for n in range(20)]
    with model.serve() as url:
        assert simulate(url, {"q": "a"}, visits) == {"towns": ["Ashby"]}
    [[_, question]] = model.asked
    asked = json.loads(question["content"])
    assert asked["tool"]["description"] == "Finds towns."
    assert asked["example"] == {"towns": ["str"]}
    assert asked["call"] == {"q": "a"}
    assert [earlier["response"] for earlier in asked["earlier"]] == list(range(12, 20))


def test_its_errors_are_refusals(simulate):
    model = FakeModel(in_turn('{"error": "q is missing", "response": null}'))
    with model.serve() as url, pytest.raises(ToolRefusal, match="q is missing"):
        simulate(url, {})


def test_a_simulator_that_fails_is_no_answer(simulate):
    wrong = pytest.raises(PolicyError, match="the simulator wrote no response: there is no JSON")
    with FakeModel(in_turn("a town")).serve() as url, wrong:
        simulate(url, {})
    with pytest.raises(PolicyError, match=r"the simulator 'm' at http://127\.0\.0\.1:9/v1: "):
        simulate("http://127.0.0.1:9/v1", {})
