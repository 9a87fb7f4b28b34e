"""StableToolBench: the original's names, validity and recall offline, server, cache, simulator."""

import asyncio
import json

import pytest
from fake_endpoint import FakeModel, http_server, in_turn
from service_runs import run_replays

from toolmaster.benchmarks import find_benchmark
from toolmaster.benchmarks.base import Source
from toolmaster.benchmarks.replay import Replay
from toolmaster.benchmarks.toolbench_apis import Api, as_tool, named, standard
from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.protocols import Protocol
from toolmaster.types import Effect, StopReason, ToolCall

TOWNS = {
    "category_name": "Travel, Maps",
    "tool_name": "Town Finder",
    "api_name": "Find/Town",
    "api_description": "Finds a  town.",
    "required_parameters": [
        {"name": "id", "type": "STRING", "description": "Its name.", "default": "Ashby"},
        {"name": "max results", "type": "NUMBER", "description": "", "default": ""},
    ],
    "optional_parameters": [{"name": "near", "type": "BOOLEAN", "description": "", "default": ""}],
    "method": "GET",
    "template_response": {"name": "str"},
}
WEATHER = TOWNS | {"tool_name": "Weather", "api_name": "2day", "required_parameters": []}
FIND, TODAY = "find_town_for_town_finder", "get_2day_for_weather"
GOOD = ToolCall(name=FIND, arguments={"is_id": "Ashby", "max_results": 2})
ALSO = ToolCall(name=TODAY, arguments={})


def row(**changes):
    return {
        "query": "Find Ashby and its weather.",
        "query_id": 7,
        "api_list": [TOWNS, WEATHER],
        "relevant APIs": [["Town Finder", "Find/Town"], ["Weather", "2day"]],
    } | changes


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")


@pytest.fixture
def play(write, tmp_path):
    """A function: replay calls on one row; returns trajectory, values and facts."""

    def run(*calls, answer="Ashby: rain", protocol=Protocol.DIRECT, **options):
        known = {"stabletoolbench/G3/7": Replay(calls=list(calls), answer=answer)}
        path = write("G3.json", [row()])
        [[(_, trajectory, values)], facts] = run_replays(
            "stabletoolbench", path, tmp_path, lambda _: known, protocol, **options
        )
        return trajectory, values, facts

    return run


@pytest.fixture
def server():
    """A StableToolBench server: its address, and what it was asked."""
    asked = []

    def answer(_path, body):
        asked.append(body)
        if body["tool_input"].get("is_id") == "nowhere":
            return 200, {"error": "no such town", "response": ""}
        return 200, {"error": "", "response": {"town": "Ashby"}}

    with http_server(answer) as url:
        yield f"{url}/virtual", asked


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Find/Town", "find_town"),
        ("id", "is_id"),
        ("2day", "get_2day"),
        ("  Üb er--all_ ", "b_er_all"),
        ("from", "is_from"),
    ],
)
def test_names_as_the_original_forms_them(name, expected):
    assert standard(name) == expected


def test_an_api_as_a_tool():
    tool = as_tool(*next(iter(named([Api.model_validate(TOWNS)]).items())))
    assert (tool.name, tool.effect) == (FIND, Effect.READ)
    assert tool.description == "Town Finder: Finds a town."
    properties = tool.parameters["properties"]
    assert properties["is_id"] == {
        "type": "string",
        "description": "Its name.",
        "examples": ["Ashby"],
    }
    assert (properties["max_results"], properties["near"]) == (
        {"type": "number"},
        {"type": "boolean"},
    )
    assert tool.parameters["required"] == ["is_id", "max_results"]


def test_apis_that_share_a_name():
    other = Api.model_validate(TOWNS | {"category_name": "Food"})
    twice = Api.model_validate(TOWNS)
    assert list(named([twice, twice, other])) == [FIND, f"{FIND}_2"]


def test_relevant_calls_answered_by_the_original_server(play, server, monkeypatch):
    url, asked = server
    monkeypatch.setenv("TOOLBENCH_KEY", "k")
    trajectory, values, facts = play(GOOD, ALSO, server=url)
    assert trajectory.success
    assert values == {"all_relevant": 1.0, "valid_calls": 1.0, "valid_calls_strict": 1.0}
    assert facts == {"observations": "StableToolBench server"}
    assert trajectory.steps[0].observation == '{"town": "Ashby"}'
    assert asked[0] == {
        "category": "Travel_Maps",
        "tool_name": "town_finder",
        "api_name": "find_town",
        "tool_input": {"is_id": "Ashby", "max_results": 2},
        "strip": "truncate",
        "toolbench_key": "k",
    }


@pytest.mark.parametrize(
    ("arguments", "observation", "valid", "strict"),
    [
        ({"is_id": "nowhere", "max_results": 1}, "error: no such town", 1, 1),
        ({"is_id": "Ashby", "max_results": "two"}, '{"town": "Ashby"}', 1, 0),
        ({"is_id": "Ashby"}, 'error: missing required parameter "max_results"', 0, 0),
        ({"is_id": "A", "max_results": 1, "x": 1}, 'error: unknown parameter "x"; allowed', 0, 0),
    ],
)
def test_calls_that_do_not_fit(play, server, arguments, observation, valid, strict):
    call = ToolCall(name=FIND, arguments=arguments)
    trajectory, values, _ = play(call, server=server[0])
    assert trajectory.steps[0].observation.startswith(observation)
    assert not trajectory.success
    assert values == {"all_relevant": 0.0, "valid_calls": valid, "valid_calls_strict": strict}


def test_an_unknown_tool_is_not_valid_and_no_call_says_nothing(play, server):
    _, values, _ = play(ToolCall(name="moon", arguments={}), ALSO, server=server[0])
    assert values["valid_calls"] == 0.5
    _, values, _ = play(server=server[0])
    assert values == {"all_relevant": 0.0}


def test_a_dead_server_breaks_the_rollout_not_the_model(play):
    trajectory, _, _ = play(GOOD, server="http://127.0.0.1:9/virtual")
    assert trajectory.stop_reason is StopReason.POLICY_ERROR
    assert trajectory.error.startswith("the server at http://127.0.0.1:9/virtual: ConnectError")


def test_the_original_cache_of_responses(play, tmp_path):
    tools = tmp_path / "cache" / "Travel_Maps"
    for tool, api, content in (
        ("town_finder", "find_town", {"{'is_id': 'Ashby', 'max_results': 2}": ok({"pop": 9})}),
        ("weather", "get_2day", {"{}": {"error": "quota", "response": ""}}),
    ):
        folder = tools / f"{tool}_for_Travel_Maps"
        folder.mkdir(parents=True)
        (folder / f"{api}.json").write_text(json.dumps(content))
    options = {"responses": "recorded", "cache": tmp_path / "cache"}
    other = ToolCall(name=FIND, arguments={"is_id": "Brill", "max_results": 2})
    trajectory, _, facts = play(GOOD, ALSO, other, **options)
    assert [step.observation for step in trajectory.calls()] == [
        '{"pop": 9}',
        "error: quota",
        "error: no response to this call was recorded",
    ]
    assert facts == {"observations": "recorded", "calls without a recording": "1"}


def ok(response):
    return {"error": "", "response": response}


def test_a_damaged_cache_leaves_its_rows_out(play, tmp_path):
    folder = tmp_path / "cache" / "Travel_Maps" / "weather_for_Travel_Maps"
    folder.mkdir(parents=True)
    (folder / "get_2day.json").write_text("[1]")
    with pytest.raises(InputError, match="holds no response for any API"):
        play(GOOD, responses="recorded", cache=tmp_path / "cache")


def test_an_empty_cache_is_said(play, tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        play(GOOD, responses="recorded", cache=tmp_path / "none")
    (tmp_path / "cache").mkdir()
    with pytest.raises(InputError, match="holds no response for any API"):
        play(GOOD, responses="recorded", cache=tmp_path / "cache")


def test_a_simulator_that_dies_breaks_rollouts_that_are_run_again(play):
    replies = ["ready", '{"error": null, "response": "x"}']

    def reply(_messages):
        return replies.pop(0) if replies else (503, {"error": {"message": "gone"}})

    with FakeModel(reply).serve() as url:
        options = {"responses": "simulated", "simulator": "m", "simulator_url": url}
        trajectory, _, _ = play(GOOD, ALSO, **options)
    assert trajectory.error.startswith("the simulator 'm' at http://")
    assert "gone" in trajectory.error
    with pytest.raises(PolicyError, match="it cannot be reached"):  # before any rollout
        play(GOOD, responses="simulated", simulator="m", simulator_url="http://127.0.0.1:9/v1")


def test_judged_figures_stand_beside_the_others(play, server):
    verdict = json.dumps({"reason": "Both given.", "verdict": "solved", "grounded": False})
    judge = FakeModel(in_turn(verdict), version="judge-2")
    with judge.serve() as url:
        _, values, facts = play(GOOD, ALSO, server=server[0], judge="j", judge_url=url)
    assert (values["pass_rate"], values["pass_rate_strict"], values["all_relevant"]) == (1, 0, 1)
    assert values["reason"] == "Both given."
    assert facts["judge"] == "j"
    assert facts["judge answered by"] == "judge-2"


def test_a_dead_judge_costs_only_its_own_figures(play, server, capsys):
    options = {"server": server[0], "judge": "j", "judge_url": "http://127.0.0.1:9/v1"}
    trajectory, values, _ = play(GOOD, ALSO, **options)
    assert trajectory.success
    assert values["all_relevant"] == 1.0
    assert "pass_rate" not in values
    [line] = [x for x in capsys.readouterr().out.replace("\n", " ").split("  ") if "judged" in x]
    assert "1 trajectories are not judged (the judge 'j' at http://127.0.0.1:9/v1: " in line


def test_something_must_answer(play):
    with pytest.raises(ConfigError, match=r"give options\.server=URL, or"):
        play(GOOD)


def test_rows_that_cannot_be_used_are_named(write, tmp_path):
    rows = [
        row(),
        row(query_id=8, **{"relevant APIs": [["Moon", "Phase"]]}),
        row(query_id=9, api_list=[]),
        row(query_id=7),
        {"query": "q"},
    ]
    path = write("G3.json", rows)

    async def opened():
        benchmark = find_benchmark("stabletoolbench")
        options = benchmark.options(server="http://localhost")
        async with benchmark.open_suite(Source(path, options, tmp_path)) as suite:
            return suite

    suite = asyncio.run(opened())
    assert [case.task.id for case in suite.cases] == ["stabletoolbench/G3/7"]
    found = [(item.row, item.field) for item in suite.left_out]
    assert found == [(1, "relevant APIs.0"), (2, "api_list"), (3, "id"), (4, "query_id")]
    assert suite.left_out[0].reason == "Moon / Phase is not in api_list"


def test_the_shared_file(shared, tmp_path):
    """Every row loads; calls with the documented examples fit the documentation."""
    path = shared("stabletoolbench/G3_instruction.json")

    def replies(_messages):
        return '{"error": null, "response": {"ok": true}}'

    def examples(cases):
        replays = {}
        for case in cases:
            tools = {tool.name: tool for tool in case.task.make_tools().tools}
            calls = [
                ToolCall(name=name, arguments=_required(tools[name].parameters))
                for name in case.needed
            ]
            replays[case.task.id] = Replay(calls=calls, answer="done")
        return replays

    with FakeModel(replies).serve() as url:
        options = {"responses": "simulated", "simulator": "m", "simulator_url": url}
        found, facts = run_replays("stabletoolbench", path, tmp_path, examples, **options)
    assert len(found) == 61
    assert facts == {"observations": "simulated by m"}
    assert all(trajectory.success for _, trajectory, _ in found)
    assert all(values["valid_calls_strict"] == 1.0 for *_, values in found)


def _required(parameters):
    """Arguments of the right types for the required parameters."""
    values = {"string": "x", "number": 1, "boolean": True, "object": {}, "array": []}
    properties = parameters["properties"]
    return {name: values[properties[name]["type"]] for name in parameters["required"]}
