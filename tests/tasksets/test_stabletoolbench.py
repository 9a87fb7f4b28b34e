"""StableToolBench: the original's names, the rule and the judge, server, simulator."""

import json

import pytest
from fake_endpoint import FakeModel, http_server, in_turn

from toolmaster.errors import ConfigError, PolicyError
from toolmaster.evaluation.evaluate import evaluate
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.replay import Replay, call_turn
from toolmaster.tasksets.toolbench import Api, as_tool, named, standard
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
GOOD = (FIND, {"is_id": "Ashby", "max_results": 2})
ALSO = (TODAY, {})


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
def load(write):
    """A function: the task set of one row, opened with these options."""

    def run(*rows, **options):
        words = [f"{key}={value}" for key, value in options.items()]
        path = write("G3.json", list(rows) or [row()])
        return taskset(" ".join([f"stabletoolbench:{path}", *words]))

    return run


@pytest.fixture
def played(load, play, replay):
    """A function: the trajectory of calls replayed on one row."""

    def run(*calls, answer="Ashby: rain", protocol=Protocol.DIRECT, **options):
        known = {"stabletoolbench/G3/7": replay(*calls, answer=answer)}
        [trajectory] = play(load(**options), known, protocol)
        return trajectory

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
    assert tool.parameters["properties"] == {
        "is_id": {"type": "string", "description": "Its name.", "examples": ["Ashby"]},
        "max_results": {"type": "number"},
        "near": {"type": "boolean"},
    }
    assert tool.parameters["required"] == ["is_id", "max_results"]


def test_apis_that_share_a_name():
    other = Api.model_validate(TOWNS | {"category_name": "Food"})
    twice = Api.model_validate(TOWNS)
    assert list(named([twice, twice, other])) == [FIND, f"{FIND}_2"]


def test_relevant_calls_answered_by_the_original_server(load, played, server, monkeypatch):
    url, asked = server
    monkeypatch.setenv("TOOLBENCH_KEY", "k")
    trajectory = played(GOOD, ALSO, server=url)
    assert (trajectory.score.success, trajectory.score.value) == (True, 1.0)
    assert trajectory.score.parts == {"all_relevant": 1.0}
    assert trajectory.score.expected == f"responses of {FIND}, {TODAY}, and an answer"
    assert trajectory.labels == {"family": "G3", "observations": "StableToolBench server"}
    assert trajectory.steps[0].observation == '{"town": "Ashby"}'
    assert asked[0] == {
        "category": "Travel_Maps",
        "tool_name": "town_finder",
        "api_name": "find_town",
        "tool_input": {"is_id": "Ashby", "max_results": 2},
        "strip": "truncate",
        "toolbench_key": "k",
    }
    tasks = load(server=url)
    assert tasks.facts["observations"] == "StableToolBench server"
    assert (tasks[0].needed, tasks[0].isolation()) == ((FIND, TODAY), Isolation.FRESH)


def test_a_dropped_call_or_answer_fails(played, server):
    score = played(GOOD, server=server[0]).score
    assert (score.success, score.value, score.parts["all_relevant"]) == (False, 0.5, 0.0)
    score = played(GOOD, ALSO, answer="", server=server[0]).score
    assert (score.success, score.value, score.parts["all_relevant"]) == (False, 0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "observation"),
    [
        ({"is_id": "nowhere", "max_results": 1}, "error: no such town"),
        ({"is_id": "Ashby", "max_results": "two"}, '{"town": "Ashby"}'),
        ({"is_id": "Ashby"}, 'error: missing required parameter "max_results"'),
        ({"is_id": "A", "max_results": 1, "x": 1}, 'error: unknown parameter "x"; allowed'),
    ],
)
def test_calls_that_do_not_fit(played, server, arguments, observation):
    trajectory = played((FIND, arguments), server=server[0])
    assert trajectory.steps[0].observation.startswith(observation)
    assert not trajectory.success
    assert trajectory.score.parts == {"all_relevant": 0.0}


def test_what_a_trial_called_is_not_what_the_session_did(load, server):
    calls = [ToolCall(name=name, arguments=arguments) for name, arguments in (GOOD, ALSO)]
    turns = [*map(call_turn, calls), "<experience>x</experience>", "<answer>x</answer>"]
    [trajectory] = evaluate(ScriptedPolicy(turns), load(server=server[0])).trajectories
    assert (trajectory.score.success, trajectory.score.parts["all_relevant"]) == (False, 1.0)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/virtual", "http://["])
def test_a_dead_server_breaks_the_rollout_not_the_model(played, address):
    trajectory = played(GOOD, server=address)
    assert (trajectory.stop_reason, trajectory.score) == (StopReason.POLICY_ERROR, None)
    assert trajectory.error.startswith(f"the server at {address}: ")


def test_two_apis_of_one_name_in_two_rows_have_their_own_responses(load, play, replay, server):
    other = TOWNS | {"category_name": "Food"}
    relevant = {"relevant APIs": [["Town Finder", "Find/Town"]]}
    tasks = load(row(), row(query_id=8, api_list=[other], **relevant), server=server[0])
    play(tasks, dict.fromkeys(tasks.ids, replay(GOOD)), Protocol.DIRECT)
    assert {body["category"] for body in server[1]} == {"Travel_Maps", "Food"}


def verdict(said="solved", grounded=True):
    return json.dumps({"reason": "Both given.", "verdict": said, "grounded": grounded})


@pytest.mark.parametrize(
    ("said", "grounded", "value", "strict"),
    [("solved", True, 1, 1), ("solved", False, 1, 0), ("unsure", True, 0.5, 0)],
)
def test_the_verdict_of_a_judge_decides(played, server, said, grounded, value, strict):
    with FakeModel(in_turn("ready", verdict(said, grounded))).serve() as url:
        score = played(ALSO, server=server[0], judge="openai:j", judge_url=url).score
    assert (score.value, score.success) == (value, said == "solved")
    assert (score.reason, score.expected) == (
        "Both given.",
        "an answer that the judge calls solved",
    )
    figures = {"pass_rate": value, "pass_rate_strict": strict}
    assert score.parts == {"all_relevant": 0.0} | figures


def test_without_an_answer_nobody_is_asked(played, server):
    model = FakeModel(in_turn("ready", verdict()))
    with model.serve() as url:
        score = played(GOOD, answer="", server=server[0], judge="openai:j", judge_url=url).score
    assert (score.value, score.success, score.reason) == (0.0, False, "no answer")
    assert len(model.asked) == 1


@pytest.mark.parametrize("role", ["judge", "simulator"])
@pytest.mark.parametrize("failure", ["It is fine.", (503, {"error": {"message": "gone"}})])
def test_a_model_that_fails_breaks_the_rollout_not_the_one_measured(played, server, role, failure):
    with FakeModel(in_turn("ready", failure)).serve() as url:
        options = {role: "openai:j", f"{role}_url": url}
        options |= {"server": server[0]} if role == "judge" else {"responses": "simulated"}
        trajectory = played(GOOD, ALSO, **options)
    assert (trajectory.stop_reason, trajectory.score) == (StopReason.POLICY_ERROR, None)
    assert trajectory.error.startswith(f"the {role} ")


def test_what_is_missing_is_said_before_any_rollout(load, played):
    with pytest.raises(ConfigError, match=r"give server=URL, or responses=recorded or simulated"):
        load()
    with pytest.raises(ConfigError, match="openai:NAME; received"):
        load(server="http://localhost", judge="j")
    dead = "http://127.0.0.1:9/v1"
    for options in (
        {"responses": "simulated", "simulator": "openai:m", "simulator_url": dead},
        {"server": "http://localhost", "judge": "openai:m", "judge_url": dead},
    ):
        with pytest.raises(PolicyError, match="it cannot be reached"):
            played(GOOD, **options)


def test_rows_that_cannot_be_used_are_named(load):
    rows = [
        row(),
        row(query_id=8, **{"relevant APIs": [["Moon", "Phase"]]}),
        row(query_id=9, api_list=[]),
        row(query_id=7),
        {"query": "q"},
    ]
    tasks = load(*rows, server="http://localhost")
    assert tasks.ids == ("stabletoolbench/G3/7",)
    found = [(item.row, item.field) for item in tasks.left_out]
    assert found == [(1, "relevant APIs.0"), (2, "api_list"), (3, "id"), (4, "query_id")]
    assert tasks.left_out[0].reason == "Moon / Phase is not in api_list"


def one_model(messages):
    """A simulator and a judge behind one endpoint: the judge solves what a response shows."""
    system = messages[0]["content"]
    asked = json.loads(messages[1]["content"]) if len(messages) > 1 else {}
    if system.startswith("You stand in"):
        return json.dumps({"error": None, "response": {"says": asked["tool"]["name"]}})
    if system.startswith("You judge"):
        shown = any(asked["answer"] in call["returned"] for call in asked["calls"])
        return verdict("solved" if shown else "unsolved")
    return "ready"


def rollouts_of(tasks, answer):
    call = ToolCall(name=GOOD[0], arguments=GOOD[1])
    policy = ScriptedPolicy([call_turn(call), f"<answer>{answer}</answer>"])
    return evaluate(policy, tasks, rollouts=2, protocol=Protocol.DIRECT)


def test_rollouts_with_a_simulator_and_a_judge_behind_one_endpoint(load, tmp_path):
    model = FakeModel(one_model)
    with model.serve() as url:
        tasks = load(
            row(),
            row(query_id=8),
            responses="simulated",
            simulator="openai:m",
            simulator_url=url,
            recordings=tmp_path / "simulated.jsonl",
            judge="openai:m",
            judge_url=url,
        )
        good = rollouts_of(tasks, FIND)
        assert len(model.asked) == 2 + 1 + 1  # looks; the same call, and the same outcome, once
        bad = rollouts_of(tasks, "I do not know.")
    assert [t.task_id[-1] for t in good.trajectories] == ["7", "7", "8", "8"]
    assert (good.success.mean, bad.success.mean) == (1.0, 0.0)
    assert {t.score.reason for t in bad.trajectories} == {"Both given."}
    assert good.facts["observations"] == "simulated by m"
    assert good.facts["judge"] == "m"
    assert len((tmp_path / "simulated.jsonl").read_text().splitlines()) == 1


def test_the_shared_file(shared, play, calls_of):
    """Every row loads, and calls with arguments of the right types fit the documentation."""
    path = shared("stabletoolbench/G3_instruction.json")
    with FakeModel(one_model).serve() as url:
        options = f"responses=simulated simulator=openai:m simulator_url={url}"
        tasks = taskset(f"stabletoolbench:{path} {options}")
        replays = {task.id: Replay(calls=calls_of(task), answer="done") for task in tasks}
        trajectories = play(tasks, replays)
        for known in replays.values():
            known.calls.pop()
        dropped = play(tasks, replays)
    assert (len(tasks), len(tasks.left_out)) == (61, 0)
    assert all(t.success for t in trajectories)
    assert not any(t.success for t in dropped)
