"""What answers calls: recordings and their misses, and files that a kill can leave."""

import asyncio
import json
from dataclasses import replace

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task, responses
from toolmaster.tasksets.replay import call_turn
from toolmaster.tasksets.responses import (
    MISS,
    Backend,
    BackendTools,
    PastCall,
    choose_backend,
    open_endpoint,
)
from toolmaster.tools import Tool, ToolRefusal
from toolmaster.types import Effect, ErrorKind, ToolCall

PARAMETERS = {"type": "object", "properties": {"town": {"type": "string"}, "n": {}}}
TOOL = Tool(
    "weather", "Weather of a town.", PARAMETERS, lambda *_: None, Effect.READ, own_name="weather"
)
SENDS = replace(TOOL, effect=Effect.WRITE)
CALLS = [{"town": "Ashby", "n": 2}, {"town": "Atlantis"}, {"n": 2.0, "town": "Ashby"}]


class Weather:
    """A live service that counts its calls."""

    def __init__(self):
        self.calls = 0
        self.backend = Backend("live", "the weather", self.answer)

    async def answer(self, _tool, arguments, _earlier):
        self.calls += 1
        if arguments.get("town") == "Atlantis":
            raise ToolRefusal("404 Not Found: no such town")
        if arguments.get("town") == "Pompeii":
            raise OSError("the service burst")
        return {"town": arguments.get("town"), "calls": self.calls, "é": [1, 2.5, None]}


@pytest.fixture
def weather():
    return Weather()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "recordings.jsonl"


def observe(backend, *calls, protocol=Protocol.DIRECT, tool=TOOL, live=False):
    """The observations of calls in one session, and the session."""

    async def work():
        tools = BackendTools([tool], backend.respond, live)
        session = Session(Task("t", "q", tools), protocol, Limits(trial_calls=9))
        async with backend.open():
            for arguments in calls:
                await session.step(call_turn(ToolCall(name=tool.name, arguments=arguments)))
        return session

    session = asyncio.run(work())
    return [(step.observation, step.error) for step in session.steps], session


def test_what_was_recorded_is_observed_again(weather, file):
    heard, _ = observe(choose_backend("live", weather.backend, {}, recordings=file), *CALLS[:2])
    again, _ = observe(choose_backend("recorded", weather.backend, {}, recordings=file), *CALLS)
    assert again == [*heard, heard[0]]  # the third call is the first in another spelling
    assert heard[1] == ("error: 404 Not Found: no such town", ErrorKind.TOOL_ERROR)
    assert weather.calls == 2
    assert {json.loads(line)["source"] for line in file.read_text().splitlines()} == {"the weather"}


def test_a_live_service_is_asked_each_time(weather, file):
    backend = choose_backend("live", weather.backend, {}, recordings=file)
    heard, _ = observe(backend, CALLS[0], CALLS[0])
    assert [json.loads(text)["calls"] for text, _ in heard] == [1, 2]
    assert len(file.read_text().splitlines()) == 1


def test_a_miss_is_refused_not_invented(weather, file):
    file.write_text('{"tool": "weather", "arguments": {"town": "Ashby"}, "result": "sunny"}\n')
    backend = choose_backend("recorded", weather.backend, {}, recordings=file)
    heard, session = observe(backend, {"town": "Brill"}, {"town": "Ashby"})
    assert heard == [(f"error: {MISS}", ErrorKind.TOOL_ERROR), ("sunny", None)]
    assert session.tools.state[0].result == MISS
    assert len(file.read_text().splitlines()) == 1


def test_what_broke_is_not_recorded(weather, file):
    backend = choose_backend("live", weather.backend, {}, recordings=file)
    [(text, error)], _ = observe(backend, {"town": "Pompeii"})
    assert (text, error) == ("error: OSError: the service burst", ErrorKind.TOOL_ERROR)
    assert not file.exists()


def test_what_was_simulated_is_said_again(weather, file, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    replies = [json.dumps({"error": None, "response": n}) for n in range(9)]
    model = FakeModel(in_turn("ready", *replies))
    with model.serve() as url:
        options = {"simulator": "openai:m", "simulator_url": url}
        backend = choose_backend("simulated", weather.backend, {}, **options)
        heard, _ = observe(backend, CALLS[0], {"n": 1}, CALLS[2])
        assert [text for text, _ in heard] == ["0", "1", "0"]
        backend = choose_backend("simulated", weather.backend, {}, recordings=file, **options)
        heard, _ = observe(backend, CALLS[0])
        again = choose_backend("simulated", weather.backend, {}, recordings=file, **options)
        assert observe(again, CALLS[0])[0] == heard
    assert backend.label == "simulated by m"
    assert json.loads(file.read_text())["source"] == "simulated by m"
    assert weather.calls == 0


def test_a_torn_last_line_is_mended_and_a_damaged_one_named(weather, file):
    observe(choose_backend("live", weather.backend, {}, recordings=file), CALLS[0])
    with file.open("a") as opened:
        opened.write('{"tool": "wea')
    observe(choose_backend("live", weather.backend, {}, recordings=file), CALLS[1])
    assert len(file.read_text().splitlines()) == 2
    file.write_text('{"tool": "weather"}\n')
    with pytest.raises(InputError, match="line 1: arguments: Field required"):
        choose_backend("live", weather.backend, {}, recordings=file)


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("recorded", {}, InputError, "responses=recorded: no recorded responses; give recordings="),
        ("simulated", {}, ConfigError, "responses=simulated and simulator=openai:NAME go together"),
        ("live", {"simulator": "openai:m"}, ConfigError, "go together"),
        ("simulated", {"simulator": "m"}, ConfigError, "a simulator is a model of an"),
    ],
)
def test_options_that_do_not_go_together(weather, kind, options, error, message):
    with pytest.raises(error, match=message):
        choose_backend(kind, weather.backend, {}, **options)


def test_trials_run_on_a_copy_unless_the_service_is_live(weather):
    backend = replace(weather.backend, kind="recorded")
    heard, session = observe(backend, CALLS[0], protocol=Protocol.TRIAL, tool=SENDS)
    assert heard[0][1] is None
    assert session.tools.state == []  # what a trial calls is not what the session did
    heard, _ = observe(backend, CALLS[0], protocol=Protocol.TRIAL, tool=SENDS, live=True)
    assert heard[0][1] is ErrorKind.NOT_EXECUTED
    heard, _ = observe(backend, CALLS[0], protocol=Protocol.TRIAL, live=True)
    assert heard[0][1] is None


def test_who_cannot_answer_breaks_the_session():
    async def dead(*_):
        raise PolicyError("the simulator is dead")

    for protocol in Protocol.DIRECT, Protocol.TRIAL:
        with pytest.raises(PolicyError, match="the simulator is dead"):
            observe(Backend("simulated", "m", dead), CALLS[0], protocol=protocol)


FIND = Tool(
    "find",
    "Finds towns.",
    {"type": "object", "properties": {"q": {}}},
    lambda *_: None,
    own_name="Towns/find",
)


@pytest.fixture
def simulate(monkeypatch):
    """A function: the answer of a simulator at this address."""
    monkeypatch.setenv("SIMULATOR_API_KEY", "none")

    def run(url, arguments, earlier=(), model="openai:m"):
        async def work():
            examples = {"Towns/find": {"towns": ["str"]}}
            async with open_endpoint("simulator", model, url) as endpoint:
                return await responses.simulate(endpoint, examples, FIND, arguments, earlier)

        return asyncio.run(work())

    return run


def test_it_sees_documentation_example_and_the_calls_before(simulate):
    model = FakeModel(in_turn("ready", '{"error": null, "response": {"towns": ["Ashby"]}}'))
    earlier = [PastCall("find", {"q": str(n)}, n) for n in range(20)]
    with model.serve() as url:
        assert simulate(url, {"q": "a"}, earlier) == {"towns": ["Ashby"]}
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
    wrong = pytest.raises(PolicyError, match="the simulator wrote no valid answer: ")
    with FakeModel(in_turn("a town")).serve() as url, wrong:
        simulate(url, {})
    with pytest.raises(PolicyError, match=r"the simulator 'm' at http://127\.0\.0\.1:9/v1: "):
        simulate("http://127.0.0.1:9/v1", {})
    with pytest.raises(ConfigError, match="openai:NAME; received"):
        simulate("http://127.0.0.1:9/v1", {}, model="hf:m")
