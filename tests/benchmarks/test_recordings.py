"""Record and replay: the same observations, misses reported, files that a kill can leave."""

import asyncio
import json

import pytest

from toolmaster.benchmarks.recordings import MISS, Recording, Recordings
from toolmaster.benchmarks.responses import canonical, connect, live
from toolmaster.errors import InputError, PolicyError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolRefusal
from toolmaster.types import Effect, ErrorKind

PARAMETERS = {"type": "object", "properties": {"town": {"type": "string"}, "n": {}}}


class Weather:
    """A live tool that counts its calls."""

    def __init__(self):
        self.calls = 0

    def tool(self, name="weather"):
        return Tool(name, "Weather of a town.", PARAMETERS, self.execute, Effect.READ)

    async def execute(self, _state, arguments):
        self.calls += 1
        if arguments.get("town") == "Atlantis":
            raise ToolRefusal("404 Not Found: no such town")
        if arguments.get("town") == "Pompeii":
            raise OSError("the service burst")
        return {"town": arguments.get("town"), "calls": self.calls, "é": [1, 2.5, None]}


@pytest.fixture
def files(tmp_path):
    return tmp_path / "recordings.jsonl", tmp_path / "misses.jsonl"


def observe(make_tools, *calls, protocol=Protocol.DIRECT):
    """The observations of calls in one session, as (text, error)."""

    async def work():
        session = Session(Task("t", "q", make_tools), protocol, Limits(trial_calls=9))
        for name, arguments in calls:
            body = json.dumps({"name": name, "arguments": arguments})
            await session.step(f"<tool_call>{body}</tool_call>")
        return session

    session = asyncio.run(work())
    return [(step.observation, step.error) for step in session.steps], session


CALLS = [
    ("weather", {"town": "Ashby", "n": 2}),
    ("weather", {"town": "Atlantis"}),
    ("weather", {"n": 2.0, "town": "Ashby"}),
]


def test_a_replay_gives_the_same_observations(files):
    weather = Weather()
    recorder = Recordings(*files).recorder(live)
    heard, _ = observe(connect([weather.tool()], recorder, harmless=False), *CALLS[:2])
    player = Recordings(*files).player()
    again, _ = observe(connect([weather.tool()], player, harmless=True), *CALLS)
    assert again == [*heard, heard[0]]  # the third call is the first in another spelling
    assert heard[1] == ("error: 404 Not Found: no such town", ErrorKind.TOOL_ERROR)
    assert weather.calls == 2


def test_a_miss_is_reported_not_invented(files):
    recordings, misses = files
    Recordings(*files).keep(_recording("weather", {"town": "Ashby"}, "sunny"))
    kept = Recordings(*files)
    make_tools = connect([Weather().tool()], kept.player(), harmless=True)
    heard, _ = observe(make_tools, ("weather", {"town": "Brill"}), ("weather", {"town": "Ashby"}))
    assert heard == [(f"error: {MISS}", ErrorKind.TOOL_ERROR), ("sunny", None)]
    assert kept.missed == 1
    assert json.loads(misses.read_text()) == {"tool": "weather", "arguments": {"town": "Brill"}}
    assert len(recordings.read_text().splitlines()) == 1
    assert Recordings(*files).missed == 1  # a run that goes on counts those before


def test_a_miss_can_go_on_to_something_else(files):
    weather = Weather()
    kept = Recordings(*files)
    player = kept.player(kept.recorder(live, "second"))
    first, _ = observe(connect([weather.tool()], player, harmless=True), CALLS[0], CALLS[0])
    assert first[0] == first[1]
    assert (weather.calls, kept.missed) == (1, 0)
    assert json.loads(files[0].read_text())["source"] == "second"


def test_what_broke_is_not_recorded(files):
    make_tools = connect([Weather().tool()], Recordings(*files).recorder(live), harmless=False)
    [(text, error)], _ = observe(make_tools, ("weather", {"town": "Pompeii"}))
    assert (text, error) == ("error: OSError: the service burst", ErrorKind.TOOL_ERROR)
    assert len(Recordings(*files)) == 0


def test_a_torn_last_line_is_mended_and_a_damaged_one_named(files):
    recordings, _ = files
    Recordings(*files).keep(_recording("weather", {}, 1))
    with recordings.open("a") as file:
        file.write('{"tool": "wea')
    kept = Recordings(*files)
    assert len(kept) == 1
    kept.keep(_recording("weather", {"n": 1}, 2))
    assert len(Recordings(*files)) == 2
    recordings.write_text('{"tool": "weather"}\n')
    with pytest.raises(InputError, match="line 1: arguments: Field required"):
        Recordings(*files)


def test_trials_of_harmless_answers_run_on_a_fork(files):
    Recordings(*files).keep(_recording("send", {}, "sent"))
    tool = Tool("send", "", {"type": "object"}, lambda *_: None, Effect.WRITE)
    make_tools = connect([tool], Recordings(*files).player(), harmless=True)
    heard, session = observe(make_tools, ("send", {}), protocol=Protocol.TRIAL)
    assert heard == [("sent", None)]
    assert session.tools.state.visits == []  # what a trial calls is not what the session did


def test_a_source_that_fails_breaks_the_rollout_even_from_a_trial():
    async def dead(*_):
        raise PolicyError("the simulator is dead")

    make_tools = connect([Weather().tool()], dead, harmless=True)
    heard, session = observe(make_tools, CALLS[0], CALLS[0], protocol=Protocol.TRIAL)
    assert heard[0][0] == "error: PolicyError: the simulator is dead"
    with pytest.raises(PolicyError, match="the simulator is dead"):
        session.tools.state.raise_fault()


def test_one_spelling_of_arguments():
    assert (
        canonical({"b": [1.0, {"z": 2, "a": "é"}], "a": None})
        == '{"a":null,"b":[1,{"a":"é","z":2}]}'
    )
    assert canonical({"a": 1.5}) != canonical({"a": 1})
    assert canonical({"a": True}) != canonical({"a": 1})


def _recording(tool, arguments, result):
    return Recording(tool=tool, arguments=arguments, result=result)
