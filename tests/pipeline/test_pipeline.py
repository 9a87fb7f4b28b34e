"""The whole run with a tiny model: made once, continued after a kill, never mixed."""

import json
import re
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest

from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.evaluation.settings import EvaluateSettings
from toolmaster.limits import Limits
from toolmaster.pipeline import stages
from toolmaster.pipeline.recipe import Recipe
from toolmaster.policies.base import Room, Sampling
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.runs import append_line, append_trajectory, read_lines, read_trajectories
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.training.settings import GrpoSettings, SftSettings
from toolmaster.types import Score
from toolmaster.world.tasks import LEVELS

FAILED = Score.of(False, answer=False, state=True)
SHORT = {"turn_tokens": 8, "context_tokens": 768, "slots": 8}
STAGES = ("demonstrate", "sft", "grpo", "evaluate")


@pytest.fixture(autouse=True)
def _no_compiling(monkeypatch):
    from toolmaster.policies import compiled  # noqa: PLC0415
    from toolmaster.training import common  # noqa: PLC0415

    for module in (compiled, common):
        monkeypatch.setattr(module, "compile_blocks", lambda model: None)


@pytest.fixture
def recipe(tiny_folder, tmp_path):
    return Recipe(
        run=tmp_path / "run",
        model=str(tiny_folder),
        tasks="world:short",
        limits=Limits(max_turns=8),
        demonstrate=DemonstrationSettings(count=6),
        sft=SftSettings(trainer={"per_device_train_batch_size": 3}),
        grpo=GrpoSettings(
            trainer={
                "max_steps": 1,
                "num_generations": 2,
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 1,
            },
            oversample=1,
            sampling=Room(**SHORT),
        ),
        evaluate=EvaluateSettings(
            tasks=("world:short split=test tasks=2", "world:short split=test_seen tasks=2"),
            base_tasks=1,
            sampling=Sampling(**SHORT),
        ),
    )


def make_demonstrations(recipe):
    """The file of demonstrations."""
    return stages.run_stage(recipe, "demonstrate") / "trajectories.jsonl"


def evaluate(recipe):
    """The rollouts of the evaluation, by model title."""
    stages.run_stage(recipe, "evaluate")
    return stages.results_of(recipe)


def files(folder):
    """Every file of a run and what is in it."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_whole_run_and_the_same_again(recipe, capsys):
    report = stages.run_all(recipe)
    assert report == recipe.run / "report.html"
    assert report.stat().st_size > 2000
    for stage in STAGES:
        assert json.loads((recipe.run / stage / "done.json").read_text())["seconds"] > 0
    assert not list(recipe.run.rglob("checkpoint-*"))
    demonstrations = read_trajectories(recipe.run / "demonstrate" / "trajectories.jsonl")
    assert len({t.task_id for t in demonstrations}) == 6
    assert all(t.success for t in demonstrations)
    trained_on = read_trajectories(recipe.run / "grpo" / "trajectories.jsonl")
    assert [(t.policy, t.rollout) for t in trained_on] == [("grpo@0", 0), ("grpo@0", 1)]
    for name, count in (("base", 2), ("sft", 4), ("grpo", 4)):
        measured = read_trajectories(recipe.run / "evaluate" / f"{name}.jsonl")
        half = count // 2
        sets = ["world:short/test (v6s)"] * half + ["world:short/test_seen (v6s)"] * half
        assert sorted(t.taskset for t in measured) == sets
        assert {t.policy for t in measured} == {name}
    lines = read_lines(recipe.run / "metrics.jsonl")
    assert {(line["stage"], line["step"]) for line in lines if "loss" in line} == {
        ("sft", 1),
        ("sft", 2),
        ("grpo", 1),
    }
    shown = capsys.readouterr().out
    longest = lines[0]["longest_turn_tokens"]
    assert longest > SHORT["turn_tokens"]
    for stage in ("grpo", "evaluate"):
        assert f"{stage}.sampling.turn_tokens=8 cuts turns short: " in shown
    assert f"up to {longest}" in " ".join(shown.split())
    assert "base model" in shown
    assert "GRPO" in shown
    assert "points over SFT" in shown
    html = report.read_text()
    assert "Unseen tools: " in html
    assert "<dt>version</dt><dd>toolmaster " in html
    assert re.search("<dt>time taken</dt><dd>demonstrate [0-9]+ s, sft [0-9]+ s, grpo ", html)
    assert html.count('<details class="card') == 10
    assert html.count("<summary>tokens: ") == 10

    before = files(recipe.run)
    assert stages.run_all(recipe) == report
    after = files(recipe.run)
    assert {p for p in after if before.get(p) != after[p]} <= {report.relative_to(recipe.run)}


def test_turns_that_fit_are_not_warned_of(recipe, capsys):
    for name, kind in (("grpo", Room), ("evaluate", Sampling)):
        stage = getattr(recipe, name).model_copy(update={"sampling": kind(turn_tokens=2000)})
        recipe = recipe.model_copy(update={name: stage})
    stages._warn_of_cut_turns(recipe, 2000)
    assert capsys.readouterr().out == ""
    stages._warn_of_cut_turns(recipe, 2001)
    assert "cuts turns short" in capsys.readouterr().out


def test_a_torn_demonstration_is_made_again(recipe):
    file = make_demonstrations(recipe)
    whole = file.read_bytes()
    done = recipe.run / "demonstrate" / "done.json"
    for keep in (0, 3):
        lines = whole.splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:keep]) + lines[keep][:200])
        done.unlink()
        make_demonstrations(recipe)
        again = read_trajectories(file)
        assert [t.task_id for t in again] == [json.loads(line)["task_id"] for line in lines]
        assert done.is_file()


def test_demonstrations_that_are_done_are_left_alone(recipe):
    file = make_demonstrations(recipe)
    file.write_bytes(file.read_bytes()[:100])
    assert make_demonstrations(recipe).stat().st_size == 100


def test_limits_that_leave_no_way_to_succeed(recipe):
    impossible = recipe.model_copy(update={"limits": Limits(max_turns=1)})
    with pytest.raises(InputError, match=r"gave a demonstration: .*; the limits"):
        make_demonstrations(impossible)


def test_changed_settings_are_refused(recipe):
    make_demonstrations(recipe)
    for update, change in (
        ({"seed": 1}, "seed: 0 -> 1"),
        (
            {"sft": SftSettings(trainer={"learning_rate": 1e-5})},
            "sft.trainer.learning_rate: 0.0003 -> 1e-05",
        ),
    ):
        with pytest.raises(ConfigError, match=change):
            stages.run_stage(recipe.model_copy(update=update), "sft")


@pytest.mark.parametrize(
    ("stage", "done", "message"),
    [
        ("sft", [], "no finished demonstrate stage; run `demonstrate` first"),
        ("grpo", ["demonstrate"], "no finished sft stage; run `sft` first"),
        ("evaluate", [], "no finished sft stage; run `sft` first"),
        ("report", [], "no evaluation to report; run `evaluate` first"),
    ],
)
def test_stages_out_of_order(recipe, stage, done, message):
    run = stages._open(recipe)
    for name in done:
        run.finish(name)
    (run.stage("evaluate") / "base.jsonl").touch()
    few = recipe.evaluate.model_copy(update={"base_tasks": 0})
    (recipe.run / "config.json").unlink()
    with pytest.raises(InputError, match=message):
        stages.run_stage(recipe.model_copy(update={"evaluate": few}), stage)


@pytest.fixture
def only_base(recipe):
    """A function: a recipe that only measures the model it starts from."""

    def make(count, **sampling):
        settings = EvaluateSettings(
            tasks=(f"world:short split=test tasks={count}",),
            base_tasks=count,
            sampling=Sampling(**(SHORT | sampling)),
        )
        return recipe.model_copy(update={"stages": ("evaluate",), "evaluate": settings})

    return make


def test_an_evaluation_goes_on_after_a_kill(only_base, monkeypatch):
    conversation, opened = TransformersPolicy.conversation, []

    def counted(self, *arguments):
        opened.append(1)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return conversation(self, *arguments)

    recipe = only_base(3, slots=1)
    monkeypatch.setattr(TransformersPolicy, "conversation", counted)
    with pytest.raises(KeyboardInterrupt):
        stages.run_stage(recipe, "evaluate")
    file = recipe.run / "evaluate" / "base.jsonl"
    assert len(read_trajectories(file)) == 2
    assert not (recipe.run / "evaluate" / "done.json").exists()
    results = evaluate(recipe)
    assert len(opened) == 4
    assert len({t.task_id for t in results["base model"]}) == len(read_trajectories(file)) == 3


def test_rollouts_that_broke_are_run_again(only_base):
    recipe = only_base(2)
    [first, second] = evaluate(recipe)["base model"]
    (recipe.run / "evaluate" / "done.json").unlink()
    file = recipe.run / "evaluate" / "base.jsonl"
    broken = first.model_copy(update={"error": "the device is gone"})
    file.unlink()
    for trajectory in (broken, second):
        append_line(file, trajectory.model_dump(mode="json"))
    results = evaluate(recipe)["base model"]
    assert [t.error for t in results] == [None, None]
    ids = [t.task_id for t in read_trajectories(file)]
    assert ids == [first.task_id, second.task_id, first.task_id]


def test_rollouts_that_break_are_not_a_result(only_base, monkeypatch):
    recipe = only_base(2)
    with monkeypatch.context() as patched:
        gone = PolicyError("the device is gone")
        patched.setattr(TransformersPolicy, "generate", AsyncMock(side_effect=gone))
        with pytest.raises(PolicyError, match=r"2 of 2 rollouts of base broke, the first: .*gone"):
            stages.run_stage(recipe, "evaluate")
    assert not stages._open(recipe).is_done("evaluate")
    results = evaluate(recipe)["base model"]
    assert [t.error for t in results] == [None, None]


def test_a_report_starts_no_evaluation(recipe):
    run = stages._open(recipe)
    for name in ("demonstrate", "sft", "grpo"):
        run.finish(name)
    with pytest.raises(InputError, match="no evaluation to report; run `evaluate` first"):
        stages.report(recipe)
    assert not (recipe.run / "evaluate").exists()


def test_another_version_of_the_tasks_is_refused(recipe, monkeypatch):
    make_demonstrations(recipe)
    short = replace(LEVELS["short"], version="v0s")
    monkeypatch.setattr("toolmaster.world.tasks.LEVELS", {"short": short})
    message = r"taskset: 'world:short/train \(v6s\)' -> .* \(v0s\)"
    with pytest.raises(ConfigError, match=message):
        make_demonstrations(recipe)


def test_what_is_trained_on_is_not_measured(recipe):
    overlapping = recipe.evaluate.model_copy(update={"tasks": ("world:short split=train tasks=2",)})
    with pytest.raises(InputError, match=r"of both training .* and evaluation"):
        stages.run_next(recipe.model_copy(update={"evaluate": overlapping}))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"grpo": GrpoSettings(rewards={"corectness": 1})}, "unknown reward 'corectness'"),
        (
            {"sft": SftSettings(trainer={"learning_rat": 1})},
            "sft.trainer: 'learning_rat' is not a field of TRL's SFTConfig",
        ),
        (
            {"grpo": GrpoSettings(trainer={"use_vllm": "true"})},
            "'use_vllm' cannot be set: rollouts",
        ),
        ({"grpo": GrpoSettings(trainer={"temperature": "0"})}, "temperature must be above 0"),
        (
            {"grpo": GrpoSettings(trainer={"num_generations": 7})},
            "multiple of num_generations = 7",
        ),
        ({"tasks": "world:shrt"}, "level: Input should be 'full', 'calls' or 'short'"),
        ({"model": "nowhere/at/all"}, "not a checkpoint folder"),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_first(recipe, section, message):
    with pytest.raises((ConfigError, InputError), match=message):
        stages.run_next(recipe.model_copy(update=section))
    assert not (recipe.run / "demonstrate").exists()


def test_tokens_of_another_model_are_not_taken(recipe, tmp_path, task_ids, demonstrate):
    [task_id] = task_ids("train", 1, "plain")
    made = demonstrate(task_id)
    steps = [step.model_copy(update={"token_ids": [1, 2]}) for step in made.steps]
    file = tmp_path / "others.jsonl"
    append_trajectory(file, made.model_copy(update={"steps": steps, "prompt_ids": [3]}))
    taken = recipe.model_copy(update={"demonstrate": DemonstrationSettings(file=file)})
    assert read_trajectories(make_demonstrations(taken)) == [made]


@pytest.mark.parametrize("change", [{"error": "gone"}, {"steps": []}, {"score": FAILED}])
def test_failures_are_no_demonstrations(recipe, tmp_path, task_ids, demonstrate, change):
    [task_id] = task_ids("train", 1, "plain")
    file = tmp_path / "others.jsonl"
    append_trajectory(file, demonstrate(task_id).model_copy(update=change))
    taken = recipe.model_copy(update={"demonstrate": DemonstrationSettings(file=file)})
    with pytest.raises(InputError, match=f"{task_id} did not solve its task"):
        make_demonstrations(taken)


def test_demonstrations_that_were_made_before(recipe, tmp_path, task_ids, demonstrate):
    file = tmp_path / "teach" / "trajectories.jsonl"
    file.parent.mkdir()
    made = [demonstrate(task_id) for task_id in task_ids("train", 3, "plain", "loud")]
    for demonstration in made:
        append_trajectory(file, demonstration)
    taken = recipe.model_copy(update={"demonstrate": DemonstrationSettings(file=file)})
    assert read_trajectories(make_demonstrations(taken)) == made
    assert (stages.run_stage(taken, "sft") / "model" / "config.json").is_file()


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("direct", r"holds the protocol 'direct'; 'trial' is wanted"),
        (None, r"holds no demonstrations; 'trial' is wanted"),
    ],
)
def test_demonstrations_that_do_not_fit(recipe, tmp_path, task_ids, demonstrate, protocol, message):
    file = tmp_path / "others.jsonl"
    file.touch()
    if protocol is not None:
        [task_id] = task_ids("train", 1, "plain")
        append_trajectory(file, demonstrate(task_id, Protocol(protocol)))
    taken = recipe.model_copy(update={"demonstrate": DemonstrationSettings(file=file)})
    with pytest.raises(InputError, match=message):
        make_demonstrations(taken)
