"""Every recipe runs as written, with a tiny random model and small numbers in place of its own."""

import json
from pathlib import Path

import pytest
from fake_endpoint import FakeModel

from toolmaster.config import load_config
from toolmaster.pipeline.recipe import Recipe, find_recipe, recipe_names
from toolmaster.pipeline.stages import check, run_all
from toolmaster.runs import read_lines, read_trajectories
from toolmaster.training import common

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster" / "paper.toml"
SMALL = [
    *("demonstrate.count=3", "demonstrate.filter=false", "evaluate.base_tasks=1"),
    "limits.max_turns=3",
    *("sft.trainer.max_steps=1", "sft.trainer.per_device_train_batch_size=1"),
    *("sft.trainer.gradient_accumulation_steps=1", "grpo.oversample=1"),
    *("grpo.trainer.num_generations=2", "grpo.trainer.per_device_train_batch_size=2"),
    *("grpo.trainer.gradient_accumulation_steps=1", "grpo.trainer.max_steps=2"),
    *("grpo.sampling.turn_tokens=8", "grpo.sampling.slots=2"),
    *("evaluate.sampling.turn_tokens=8", "evaluate.sampling.slots=2"),
]


@pytest.fixture(autouse=True)
def _no_compiling(monkeypatch):
    monkeypatch.setattr(common, "compile_blocks", lambda model: None)


def run_small(path, tiny_folder, folder, *changes):
    words = [*SMALL, f"model={tiny_folder}", f"run={folder}", *changes]
    recipe = load_config(Recipe, path, words)
    check(recipe)
    assert run_all(recipe).is_file()
    for stage in recipe.stages:
        assert (folder / stage / "done.json").is_file()
    steps = {line["stage"] for line in read_lines(folder / "metrics.jsonl") if "loss" in line}
    assert steps == {"sft", "grpo"} & set(recipe.stages)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_runs_as_written(name, tiny_folder, tmp_path, pets, monkeypatch):
    changes = ['evaluate.tasks=["world:short split=test tasks=2"]']
    if name == "transfer":  # its documents are an npm package
        for provider in range(40):
            folder = tmp_path / "package" / "api" / f"provider{provider}"
            folder.mkdir(parents=True)
            (folder / pets.name).symlink_to(pets)
        monkeypatch.chdir(tmp_path)
    run_small(find_recipe(name), tiny_folder, tmp_path / "run", *changes)


def api(name):
    return {
        "category_name": "Travel",
        "tool_name": "Towns",
        "api_name": name,
        "api_description": f"{name} of a town.",
        "required_parameters": [{"name": "town", "type": "STRING", "default": "Ashby"}],
        "optional_parameters": [],
        "method": "GET",
    }


def write_queries(file, numbers):
    """Write a file in ToolBench's format."""
    rows = [
        {
            "query": f"How warm is town {number}?",
            "query_id": number,
            "api_list": [api("Weather")],
            "relevant APIs": [["Towns", "Weather"]],
        }
        for number in numbers
    ]
    file.write_text(json.dumps(rows))
    return file


def teacher_simulator_and_judge(messages):
    """One model in all three places; it knows each by its instructions."""
    system = messages[0]["content"]
    if system.startswith("You stand in"):
        return json.dumps({"error": None, "response": {"degrees": 7}})
    if system.startswith(("You decide", "You judge")):  # of the filter, the reward, the task set
        shown = dict.fromkeys(("solved", "grounded", "planning", "exploration", "validation"), True)
        return json.dumps({"reason": "It is told.", "verdict": "solved", **shown})
    if len(messages) > 1 and "<tool_call>" in system:
        called = any(m["role"] == "assistant" for m in messages)
        if called:
            return "<think>It is told.</think><answer>7 degrees</answer>"
        call = {"name": "weather_for_towns", "arguments": {"town": "Ashby"}}
        return f"<think>1. Ask.</think><tool_call>{json.dumps(call)}</tool_call>"
    return "ready"


def test_the_paper_on_toolbench_queries(tiny_folder, tmp_path, monkeypatch):
    """Queries and responses, teacher, judge of the filter, judge as reward: as on a cluster."""
    for name in ("OPENAI_API_KEY", "JUDGE_API_KEY"):
        monkeypatch.setenv(name, "none")
    files = [
        write_queries(tmp_path / f"{name}.json", numbers)
        for name, numbers in (("train", range(6)), ("test", range(100, 102)))
    ]
    model = FakeModel(teacher_simulator_and_judge)
    with model.serve() as url:
        written = load_config(Recipe, CLUSTER)
        lines = []
        for line, file in zip((written.tasks, written.evaluate.tasks[0]), files, strict=True):
            words = [word.split("=", 1) for word in line.split()]
            here = {
                "simulator_url": url,
                "judge_url": url,
                "recordings": str(file.with_suffix(".jsonl")),
            }
            options = [f"{key}={here.get(key, value)}" for key, value in words[1:]]
            lines.append(" ".join([f"stabletoolbench:{file}", *options]))
        run_small(
            CLUSTER,
            tiny_folder,
            tmp_path / "run",
            f'tasks="{lines[0]}"',
            f'evaluate.tasks=["{lines[1]}"]',
            f"demonstrate.base_url={url}",
            f"demonstrate.judge_url={url}",
            f"grpo.judge.base_url={url}",
            "demonstrate.filter=true",
        )
    made = read_trajectories(tmp_path / "run" / "demonstrate" / "trajectories.jsonl")
    assert [t.answer for t in made] == ["7 degrees"] * 3
    assert (tmp_path / "run" / "grpo" / "responses.jsonl").is_file()
