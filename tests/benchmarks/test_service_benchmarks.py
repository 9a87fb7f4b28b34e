"""Benchmarks on services from the settings to the report, with an endpoint that acts."""

import json

import pytest
from fake_endpoint import FakeModel
from test_apibank import PLAN
from test_stabletoolbench import row as stabletoolbench_row

from toolmaster.benchmarks.run import evaluate_benchmark
from toolmaster.benchmarks.settings import settings_for
from toolmaster.errors import PolicyError
from toolmaster.runs import read_lines, read_trajectories

VERDICT = json.dumps({"reason": "It gave up.", "verdict": "unsolved", "grounded": True})
SIMULATED = json.dumps({"error": None, "response": {"town": "Ashby"}})


def acting(messages):
    """One model in three roles: it judges, simulates, and acts: it calls a tool, then gives up."""
    system = messages[0]["content"]
    if system.startswith("You judge"):
        return VERDICT
    if system.startswith("You stand in"):
        return SIMULATED
    if system == "Say ready." or len(messages) > 2:
        return "<answer>I do not know.</answer>"
    tool = json.loads(system.split("<tools>\n")[1].splitlines()[0])
    required = tool["parameters"].get("required", ())
    call = json.dumps({"name": tool["name"], "arguments": dict.fromkeys(required, 1)})
    return f"<think>Try.</think><tool_call>{call}</tool_call>"


@pytest.fixture
def evaluate(write, shared, tmp_path, monkeypatch):
    """A function: evaluate a benchmark with this model; returns the run folder."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    data = {
        "restbench": lambda: shared("restbench/tmdb_sample.json"),
        "stabletoolbench": lambda: write("G1.json", [stabletoolbench_row()]),
        "apibank": lambda: write("level-3.json", [PLAN]),
    }

    def run(name, url, *more):
        given = [
            f"run={tmp_path / name}",
            f"data={data[name]()}",
            "model=openai:m",
            f"base_url={url}",
            "protocol=direct",
            "spelling=text",
            *more,
        ]
        evaluate_benchmark(settings_for(name, given))
        return tmp_path / name

    return run


def facts_of(folder):
    return json.loads((folder / "figures.json").read_text())


@pytest.mark.parametrize(
    ("name", "options", "tasks", "observations"),
    [
        ("restbench", (), 20, "film world 0"),
        ("stabletoolbench", ("responses=simulated", "simulator=s"), 1, "simulated by s"),
    ],
)
def test_to_the_end_with_a_judge(evaluate, name, options, tasks, observations):
    model = FakeModel(acting, version="m-1")
    with model.serve() as url:
        given = [*options, "judge=j", f"judge_url={url}"]
        if "simulator=s" in options:
            given.append(f"simulator_url={url}")
        folder = evaluate(name, url, *(f"options.{item}" for item in given))
        asked = len(model.asked)
        evaluate(name, url, *(f"options.{item}" for item in given))
        assert len(model.asked) <= asked + 1  # at most: is the simulator there
    facts = facts_of(folder)
    assert facts["rollouts"] == tasks
    assert facts["facts"]["judge"] == "j"
    assert facts["facts"]["judge answered by"] == "m-1"
    assert facts["facts"]["observations"] == observations
    assert facts["figures"]["all"]["pass_rate"]["share"]["mean"] == 0.0
    assert facts["figures"]["all"]["judged"]["share"]["mean"] == 1.0
    assert len(read_lines(folder / "verdicts.jsonl")) == tasks
    results = read_lines(folder / "results.jsonl")
    assert {line["values"]["reason"] for line in results} == {"It gave up."}
    assert "pass rate" in (folder / "report.html").read_text()


def test_apibank_to_the_end(evaluate):
    with FakeModel(acting).serve() as url:
        folder = evaluate("apibank", url)
    [trajectory] = read_trajectories(folder / "trajectories.jsonl")
    assert trajectory.steps[0].call.name == "ToolSearcher"
    assert facts_of(folder)["figures"]["all"]["call_correct"]["share"]["mean"] == 0.0


def test_a_simulator_that_dies_is_one_line_and_the_same_command_goes_on(evaluate, tmp_path):
    answers = ["ready"]

    def dying(messages):
        if messages[0]["content"].startswith("You stand in"):
            return 503, {"error": {"message": "gone"}}
        return acting(messages) if not answers else answers.pop()

    options = ("options.responses=simulated", "options.simulator=s")
    model = FakeModel(dying)
    with model.serve() as url:
        given = (*options, f"options.simulator_url={url}")
        with pytest.raises(PolicyError) as failure:
            evaluate("stabletoolbench", url, *given)
        assert str(failure.value).startswith(
            "all 1 rollouts broke; the first: the simulator 's' at"
        )
        assert "\n" not in str(failure.value)
        model.reply = acting  # it is back
        folder = evaluate("stabletoolbench", url, *given)
    assert facts_of(folder)["broken"] == 0
    assert len(read_trajectories(folder / "trajectories.jsonl")) == 2  # what broke is kept
