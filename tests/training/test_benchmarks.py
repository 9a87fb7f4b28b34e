"""Training on benchmarks, end to end: real training, rollouts, and requests to an endpoint.

A random model never makes a call. So a tiny one first learns two ways to end a task, a good one and
a bad one; GRPO then has to prefer the good one.
"""

import json
from collections import Counter

import pytest
from fake_endpoint import FakeModel

import toolmaster as tm
from toolmaster.models.provenance import read_training
from toolmaster.policies.base import Room

ROOM = Room(turn_tokens=64, context_tokens=1536, slots=8)
SFT = {
    "num_train_epochs": 120,
    "learning_rate": 5e-3,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 2,
}
GRPO = {
    "max_steps": 4,
    "num_generations": 8,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 5e-4,
    "temperature": 0.7,
}
API = {
    "category_name": "Travel",
    "tool_name": "Towns",
    "api_name": "Find",
    "api_description": "Finds a town.",
    "required_parameters": [{"name": "town", "type": "STRING", "description": "", "default": ""}],
    "optional_parameters": [],
    "method": "GET",
}
TEXT = {"type": "string"}
FTRL_TOOLS = {
    "home_town": ("person", "def home_town(person):\n    return {'Ada Lane': 'Ashby'}[person]\n"),
    "founding_year": ("town", "def founding_year(town):\n    return {'Ashby': 1640}[town]\n"),
}
FTRL_ROW = {
    "messages": [{"role": "user", "content": "When was the home town of Ada Lane founded?"}],
    "tools": json.dumps(
        [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": f"Tells the {name}.",
                    "parameters": {"type": "object", "properties": {key: TEXT}, "required": [key]},
                },
            }
            for name, (key, _) in FTRL_TOOLS.items()
        ]
    ),
    "codes": json.dumps({name: code for name, (_, code) in FTRL_TOOLS.items()}),
    "unsolved_set": json.dumps({"home_town": ["Ashby"], "founding_year": ["1640"]}),
    "answer": "1640",
    "data_source": "self/multi_hop",
}


def turns(*calls, answer):
    """The turns of a policy that makes these calls and answers."""
    bodies = [json.dumps({"name": name, "arguments": given}) for name, given in calls]
    called = [f"<think>t</think><tool_call>{body}</tool_call>" for body in bodies]
    return [*called, f"<think>t</think><answer>{answer}</answer>"]


@pytest.fixture
def reinforce(tiny_folder, tmp_path):
    """A function: SFT on some ways to play a task set, then GRPO; returns its trajectories."""

    def run(tasks, ways, reward):
        known = [
            trajectory
            for way in ways
            for trajectory in tm.evaluate(
                tm.ScriptedPolicy(way), tasks, protocol="direct"
            ).trajectories
        ]
        start = tm.sft(tiny_folder, known, output_dir=tmp_path / "sft", **SFT)
        tm.grpo(
            start,
            tasks,
            reward=reward,
            output_dir=tmp_path / "grpo",
            protocol="direct",
            sampling=ROOM,
            **GRPO,
        )
        return tm.read_trajectories(tmp_path / "grpo" / "trajectories.jsonl")

    return run


def shares(trajectories, good):
    """The share of good rollouts in the first and in the last step."""
    half = GRPO["num_generations"]
    return [sum(map(good, part)) / half for part in (trajectories[:half], trajectories[-half:])]


def test_ftrl_with_its_own_score(reinforce, tmp_path):
    file = tmp_path / "ftrl.jsonl"
    file.write_text(json.dumps(FTRL_ROW))
    home, year = ("home_town", {"person": "Ada Lane"}), ("founding_year", {"town": "Ashby"})
    ways = [turns(home, year, answer="1640"), turns(home, answer="1640")]
    trajectories = reinforce(f"ftrl:{file}", ways, "score")
    values = {round(t.score.parts["solve_f1"], 3) for t in trajectories}
    assert {1.0, 0.667} <= values
    first, last = shares(trajectories, lambda t: t.score.value == 1.0)
    assert last > first


def simulator_and_judge(messages):
    """What one endpoint answers: responses of tools, and the verdict on an outcome."""
    system, asked = messages[0]["content"], messages[-1]["content"]
    if system.startswith("You stand in"):
        return json.dumps({"error": None, "response": {"town": "Ashby"}})
    if system.startswith("You judge"):
        answer = json.loads(asked)["answer"]
        status = "solved" if answer == "Ashby" else "unsolved"
        return json.dumps({"reason": "Named or not.", "verdict": status, "grounded": True})
    return "ready"


def test_stabletoolbench_with_a_simulator_and_a_judge(reinforce, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    file = tmp_path / "G3.json"
    row = {"query": "Find a town.", "query_id": 7, "api_list": [API]}
    file.write_text(json.dumps([{**row, "relevant APIs": [["Towns", "Find"]]}]))
    model = FakeModel(simulator_and_judge)
    with model.serve() as url:
        tasks = (
            f"stabletoolbench:{file} responses=simulated simulator=openai:m simulator_url={url}"
            f" judge=openai:m judge_url={url} recordings={tmp_path / 'recorded.jsonl'}"
        )
        call = ("find_for_towns", {"town": "Ashby"})
        ways = [turns(call, answer="Ashby"), turns(call, answer="none")]
        trajectories = reinforce(tasks, ways, "correctness")
    asked = Counter(messages[0]["content"][:9] for messages in model.asked)
    assert asked["You stand"] >= 1
    assert asked["You judge"] >= 2
    first, last = shares(trajectories, lambda t: t.success)
    assert last > first


def test_sft_on_the_known_good_calls_of_bfcl(tiny_folder, tmp_path):
    known = tm.demonstrate("bfcl:simple_python tasks=4", protocol="direct")
    assert [t.success for t in known] == [True] * 4
    folder = tm.sft(tiny_folder, known, output_dir=tmp_path / "sft", max_steps=2)
    assert set(read_training(folder).task_ids) == {t.task_id for t in known}
    lines = (tmp_path / "sft" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["loss"] > 0
