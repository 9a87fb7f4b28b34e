"""The whole run with a tiny model: made once, continued after a kill, never mixed."""

import json
from unittest.mock import AsyncMock

import pytest

from toolmaster import pipeline
from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.evaluation.settings import EvaluateSettings
from toolmaster.limits import Limits
from toolmaster.policies.base import Sampling
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.recipe import Recipe
from toolmaster.runs import append_line, append_trajectory, read_lines, read_trajectories
from toolmaster.teacher.settings import SynthesizeSettings
from toolmaster.training.settings import GrpoSettings, SftSettings
from toolmaster.types import Score

FAILED = Score.of(False, answer=False, state=True)
SHORT = {"turn_tokens": 8, "context_tokens": 768, "slots": 8}
STAGES = ("synthesize", "sft", "grpo", "evaluate/base", "evaluate/sft", "evaluate/grpo")


@pytest.fixture(autouse=True)
def _no_compiling(monkeypatch):
    from toolmaster.policies import compiled  # noqa: PLC0415
    from toolmaster.training import grpo, sft  # noqa: PLC0415

    for module in (compiled, grpo, sft):
        monkeypatch.setattr(module, "compile_blocks", lambda model: None)


@pytest.fixture
def recipe(tiny_folder, tmp_path):
    return Recipe(
        run=tmp_path / "run",
        model=str(tiny_folder),
        limits=Limits(max_turns=8),
        synthesize=SynthesizeSettings(demonstrations=6),
        sft=SftSettings(batch_sequences=3),
        grpo=GrpoSettings(
            steps=1,
            tasks_per_step=1,
            group_size=2,
            row_sequences=2,
            candidates=1,
            sampling=Sampling(temperature=1.0, **SHORT),
        ),
        evaluate=EvaluateSettings(
            unseen_tasks=2, seen_tasks=2, base_tasks=1, sampling=Sampling(**SHORT)
        ),
    )


def files(folder):
    """Every file of a run and what is in it."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_whole_run_and_the_same_again(recipe, capsys):
    report = pipeline.run_all(recipe)
    assert report == recipe.run / "report.html"
    assert report.stat().st_size > 2000
    for stage in STAGES:
        assert json.loads((recipe.run / stage / "done.json").read_text())["seconds"] > 0
    assert not list(recipe.run.rglob("checkpoint-*"))
    demonstrations = read_trajectories(recipe.run / "synthesize" / "trajectories.jsonl")
    assert len({t.task_id for t in demonstrations}) == 6
    assert all(t.success for t in demonstrations)
    trained_on = read_trajectories(recipe.run / "grpo" / "trajectories.jsonl")
    assert [(t.policy, t.rollout) for t in trained_on] == [("grpo@0", 0), ("grpo@0", 1)]
    for name, count in (("base", 2), ("sft", 4), ("grpo", 4)):
        measured = read_trajectories(recipe.run / "evaluate" / f"{name}.jsonl")
        assert sorted(t.labels["split"] for t in measured) == (
            ["seen"] * (count // 2) + ["unseen"] * (count // 2)
        )
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
    assert "after GRPO" in shown

    before = files(recipe.run)
    assert pipeline.run_all(recipe) == report
    after = files(recipe.run)
    assert {p for p in after if before.get(p) != after[p]} <= {report.relative_to(recipe.run)}


def test_turns_that_fit_are_not_warned_of(recipe, capsys):
    wide = Sampling(turn_tokens=2000)
    for name in "grpo", "evaluate":
        stage = getattr(recipe, name).model_copy(update={"sampling": wide})
        recipe = recipe.model_copy(update={name: stage})
    pipeline._tell_cut(recipe, 2000)
    assert capsys.readouterr().out == ""
    pipeline._tell_cut(recipe, 2001)
    assert "cuts turns short" in capsys.readouterr().out


def test_a_torn_demonstration_is_made_again(recipe):
    file = pipeline.synthesize(recipe)
    whole = file.read_bytes()
    done = recipe.run / "synthesize" / "done.json"
    for keep in (0, 3):
        lines = whole.splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:keep]) + lines[keep][:200])
        done.unlink()
        pipeline.synthesize(recipe)
        again = read_trajectories(file)
        assert [t.task_id for t in again] == [json.loads(line)["task_id"] for line in lines]
        assert done.is_file()


def test_demonstrations_that_are_done_are_left_alone(recipe):
    file = pipeline.synthesize(recipe)
    file.write_bytes(file.read_bytes()[:100])
    assert pipeline.synthesize(recipe).stat().st_size == 100


def test_limits_that_leave_no_way_to_succeed(recipe):
    impossible = recipe.model_copy(update={"limits": Limits(max_turns=1)})
    with pytest.raises(InputError, match="tasks in a row gave a demonstration; the limits"):
        pipeline.synthesize(impossible)


def test_changed_settings_are_refused(recipe):
    pipeline.synthesize(recipe)
    for update, change in (
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"sft": SftSettings(learning_rate=1e-5)}, "sft.learning_rate: 0.0003 -> 1e-05"),
    ):
        with pytest.raises(ConfigError, match=change):
            pipeline.sft(recipe.model_copy(update=update))


@pytest.mark.parametrize(
    ("stage", "done", "message"),
    [
        ("sft", [], "no finished demonstrations; run `synthesize` first"),
        ("grpo", ["synthesize"], "no finished SFT model; run `sft` first"),
        ("evaluate", [], "no finished sft model; run `sft` first"),
        ("report", [], "no finished sft model; run `sft` first"),
    ],
)
def test_stages_out_of_order(recipe, stage, done, message):
    run = pipeline._open(recipe)
    for name in done:
        run.finish(name)
    (run.stage("evaluate") / "base.jsonl").touch()
    few = recipe.evaluate.model_copy(update={"base_tasks": 0})
    (recipe.run / "config.json").unlink()
    with pytest.raises(InputError, match=message):
        getattr(pipeline, stage)(recipe.model_copy(update={"evaluate": few}))


def test_an_evaluation_goes_on_after_a_kill(recipe, monkeypatch):
    only_base = EvaluateSettings(
        models=("base",), unseen_tasks=3, seen_tasks=0, base_tasks=3, sampling=Sampling(**SHORT)
    )
    recipe = recipe.model_copy(update={"evaluate": only_base})
    conversation, opened = TransformersPolicy.conversation, []

    def counted(self, *arguments):
        opened.append(1)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return conversation(self, *arguments)

    one_slot = recipe.model_copy(
        update={
            "evaluate": only_base.model_copy(
                update={"sampling": Sampling(**(SHORT | {"slots": 1}))}
            )
        }
    )
    monkeypatch.setattr(TransformersPolicy, "conversation", counted)
    with pytest.raises(KeyboardInterrupt):
        pipeline.evaluate(one_slot)
    file = recipe.run / "evaluate" / "base.jsonl"
    assert len(read_trajectories(file)) == 2
    assert not (recipe.run / "evaluate" / "base" / "done.json").exists()
    results = pipeline.evaluate(one_slot)
    assert len(opened) == 4
    assert len({t.task_id for t in results["base model"]}) == len(read_trajectories(file)) == 3


def test_rollouts_that_broke_are_run_again(recipe):
    only_base = EvaluateSettings(
        models=("base",), unseen_tasks=2, seen_tasks=0, base_tasks=2, sampling=Sampling(**SHORT)
    )
    recipe = recipe.model_copy(update={"evaluate": only_base})
    [first, second] = pipeline.evaluate(recipe)["base model"]
    run = pipeline._open(recipe)
    (run.stage("evaluate/base") / "done.json").unlink()
    file = recipe.run / "evaluate" / "base.jsonl"
    broken = first.model_copy(update={"error": "the device is gone"})
    file.unlink()
    for trajectory in (broken, second):
        append_line(file, trajectory.model_dump(mode="json"))
    results = pipeline.evaluate(recipe)["base model"]
    assert [t.error for t in results] == [None, None]
    assert [t.task_id for t in read_trajectories(file)] == [
        first.task_id,
        second.task_id,
        first.task_id,
    ]


def test_rollouts_that_break_are_not_a_result(recipe, monkeypatch):
    only_base = EvaluateSettings(
        models=("base",), unseen_tasks=2, seen_tasks=0, base_tasks=2, sampling=Sampling(**SHORT)
    )
    recipe = recipe.model_copy(update={"evaluate": only_base})
    with monkeypatch.context() as patched:
        gone = PolicyError("the device is gone")
        patched.setattr(TransformersPolicy, "generate", AsyncMock(side_effect=gone))
        with pytest.raises(PolicyError, match=r"2 of 2 rollouts of base broke, the first: .*gone"):
            pipeline.evaluate(recipe)
    assert not pipeline._open(recipe).is_done("evaluate/base")
    results = pipeline.evaluate(recipe)["base model"]
    assert [t.error for t in results] == [None, None]


def test_another_version_of_the_world_is_refused(recipe, monkeypatch):
    pipeline.synthesize(recipe)
    monkeypatch.setattr(pipeline, "LEVELS", {"full": "v0", "short": "v0s"})
    with pytest.raises(ConfigError, match=r"world_version: 'v\d+' -> 'v0'"):
        pipeline.synthesize(recipe)


def test_tokens_of_another_model_are_not_taken(recipe, tmp_path, world, demonstrate):
    [task_id] = world.ids("seen", 1, ["plain"])
    made = demonstrate(task_id)
    steps = [step.model_copy(update={"token_ids": [1, 2]}) for step in made.steps]
    file = tmp_path / "others.jsonl"
    append_trajectory(file, made.model_copy(update={"steps": steps, "prompt_ids": [3]}))
    taken = recipe.model_copy(update={"synthesize": SynthesizeSettings(file=file)})
    assert read_trajectories(pipeline.synthesize(taken)) == [made]


@pytest.mark.parametrize("change", [{"error": "gone"}, {"steps": []}, {"score": FAILED}])
def test_failures_are_no_demonstrations(recipe, tmp_path, world, demonstrate, change):
    [task_id] = world.ids("seen", 1, ["plain"])
    file = tmp_path / "others.jsonl"
    append_trajectory(file, demonstrate(task_id).model_copy(update=change))
    taken = recipe.model_copy(update={"synthesize": SynthesizeSettings(file=file)})
    with pytest.raises(InputError, match=f"{task_id} did not solve its task"):
        pipeline.synthesize(taken)


def test_demonstrations_that_were_made_before(recipe, tmp_path, world, demonstrate):
    file = tmp_path / "teach" / "trajectories.jsonl"
    file.parent.mkdir()
    made = [demonstrate(task_id) for task_id in world.ids("seen", 3, ["plain", "loud"])]
    for demonstration in made:
        append_trajectory(file, demonstration)
    taken = recipe.model_copy(update={"synthesize": SynthesizeSettings(file=file)})
    assert read_trajectories(pipeline.synthesize(taken)) == made
    assert (pipeline.sft(taken) / "config.json").is_file()


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("direct", r"holds the protocol 'direct'; the recipe trains 'trial'"),
        (None, r"holds no demonstrations; the recipe trains 'trial'"),
    ],
)
def test_demonstrations_that_do_not_fit(recipe, tmp_path, world, demonstrate, protocol, message):
    file = tmp_path / "others.jsonl"
    file.touch()
    if protocol is not None:
        [task_id] = world.ids("seen", 1, ["plain"])
        append_trajectory(file, demonstrate(task_id, Protocol(protocol)))
    taken = recipe.model_copy(update={"synthesize": SynthesizeSettings(file=file)})
    with pytest.raises(InputError, match=message):
        pipeline.synthesize(taken)


def test_rollouts_after_the_checkpoint_are_rolled_out_again(tmp_path, world, demonstrate):
    file = tmp_path / "trajectories.jsonl"
    rollout = demonstrate(world.ids("seen", 1, ["plain"])[0])
    for step in (0, 1, 2, 2):
        append_trajectory(file, rollout.model_copy(update={"policy": f"grpo@{step}"}))
    pipeline._forget_redone(file, tmp_path / "checkpoint-2")
    assert [t.policy for t in read_trajectories(file)] == ["grpo@0", "grpo@1"]
    pipeline._forget_redone(file, None)
    assert read_trajectories(file) == []
    pipeline._forget_redone(tmp_path / "none.jsonl", None)
