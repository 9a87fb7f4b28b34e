"""Two processes under `torchrun`: the same run folder as one process makes.

(`accelerate launch --cpu` starts one process only, unless MPI is there to start more.)
"""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial

import pytest
import torch
from model_servers import serving
from safetensors.torch import load_file

from toolmaster.config import load_config
from toolmaster.errors import ConfigError
from toolmaster.models.checkpoints import load_model
from toolmaster.pipeline.recipe import Recipe
from toolmaster.pipeline.stages import run_stage
from toolmaster.runs import read_lines, read_trajectories

RECIPE = """
run = "{run}"
model = "{model}"
stages = ["demonstrate", "sft", "grpo"]
[demonstrate]
count = 8
filter = false
[sft.trainer]
per_device_train_batch_size = 2
save_steps = 1
[limits]
max_turns = 8
[grpo]
oversample = 2
rewards = {{ format = 1.0, correctness = 0.0, call_cost = 0.0 }}
[grpo.trainer]
max_steps = 2
num_generations = 2
per_device_train_batch_size = 2
gradient_accumulation_steps = 1
[grpo.sampling]
turn_tokens = 8
slots = 4
"""
ONE_FAILS = """
import os

def reward(trajectory):
    if os.environ["RANK"] == "1":
        raise RuntimeError("no more of this")
    return 1.0
"""


@pytest.fixture
def recipe(tmp_path, tiny_folder):
    """The path of a recipe whose demonstrations are made."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(run=tmp_path / "run", model=tiny_folder))
    run_stage(load_config(Recipe, path), "demonstrate")
    return path


FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
"""What `accelerate launch` makes of a configuration file with FSDP2."""


def launch(*arguments, **environment):
    """Run `toolmaster` in two processes; returns what they wrote on standard error."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "toolmaster", *map(str, arguments)]
    tame = {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=os.environ | tame | environment,
    )
    return done.returncode, done.stderr


def test_two_processes_train_together(recipe, tmp_path):
    run = tmp_path / "run"
    code, errors = launch("sft", recipe)
    assert code == 0, errors
    sft = [line for line in read_lines(run / "metrics.jsonl") if "loss" in line]
    # 8 demonstrations, 2 a process and step, 2 processes: 2 steps, each logged once.
    assert [(line["stage"], line["step"]) for line in sft] == [("sft", 1), ("sft", 2)]

    code, errors = launch("grpo", recipe)
    assert code == 0, errors
    lines = [line for line in read_lines(run / "metrics.jsonl") if line["stage"] == "grpo"]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert [line["step"] for line in lines if "rollout_reward" in line] == [1, 2]
    trained_on = read_trajectories(run / "grpo" / "trajectories.jsonl")
    assert len(trained_on) == 2 * 2 * 2  # steps, groups, members: those of both processes
    assert [t.policy for t in trained_on] == ["grpo@0"] * 4 + ["grpo@1"] * 4
    tasks = [t.task_id for t in trained_on]
    assert tasks[::2] == tasks[1::2]
    assert len(set(tasks)) == 4
    for stage in ("sft", "grpo"):
        assert json.loads((run / stage / "done.json").read_text())["seconds"] > 0
        load_model(run / stage / "model", "float32")
    assert json.loads((run / "config.json").read_text())["run"] == str(run)


def test_a_process_that_fails_leaves_none_waiting(tiny_folder, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(ONE_FAILS)
    sizes = {"num_generations": 2, "per_device_train_batch_size": 2, "max_steps": 1}
    words = [f"grpo.trainer.{name}={value}" for name, value in sizes.items()]
    words += ["grpo.trainer.gradient_accumulation_steps=1", "grpo.sampling.turn_tokens=8"]
    words += ["limits.max_turns=2", f"run={tmp_path / 'run'}", f"--reward={mine}:reward"]
    code, errors = launch("grpo", tiny_folder, "world", *words)
    assert code != 0
    failed = "the reward '.*mine.py:reward' failed on task .*: RuntimeError: no more of this"
    assert re.search(f"toolmaster: {failed}$", errors, re.MULTILINE), errors
    told = f"toolmaster: another process stopped the training: InputError: {failed}$"
    assert re.search(told, errors, re.MULTILINE), errors


def test_two_processes_sample_at_the_same_servers(tiny_folder, tmp_path):
    """Rank 0 writes and tells; both check; each step is sampled with its own weights."""
    run = tmp_path / "run"
    with serving(tiny_folder) as one, serving(tiny_folder) as two:
        loaded = []
        for server in (one, two):
            load = server._load

            def counted(weights, folder, load=load, server=server):
                loaded.append(server.url)
                load(weights, folder)

            server._load = counted
        sizes = {"num_generations": 2, "per_device_train_batch_size": 2, "max_steps": 2}
        words = [f"grpo.trainer.{name}={value}" for name, value in sizes.items()]
        words += ["grpo.trainer.gradient_accumulation_steps=1", "grpo.sampling.turn_tokens=8"]
        words += ["limits.max_turns=2", "grpo.off_policy_steps=1", f"run={run}"]
        words += [f"grpo.policy=served:{one.url},{two.url}"]
        code, errors = launch("grpo", tiny_folder, "world", *words)
        assert code == 0, errors
    assert sorted(loaded) == sorted([one.url, two.url] * 3)  # two steps and the result, once each
    trained_on = read_trajectories(run / "grpo" / "trajectories.jsonl")
    assert [t.policy for t in trained_on] == ["grpo@0"] * 4 + ["grpo@1"] * 4
    assert not any(t.error for t in trained_on)


@pytest.mark.parametrize("stage", ["demonstrate", "evaluate", "run"])
def test_other_stages_refuse_several_processes(recipe, monkeypatch, stage):
    from toolmaster.pipeline import stages  # noqa: PLC0415

    monkeypatch.setenv("WORLD_SIZE", "2")
    command = stages.run_all if stage == "run" else partial(stages.run_stage, name=stage)
    with pytest.raises(ConfigError, match=f"`{stage}` runs in one process, not in 2; launch only"):
        command(load_config(Recipe, recipe))


def weights_and_losses(run, stage):
    lines = [line for line in read_lines(run / "metrics.jsonl") if line["stage"] == stage]
    weights = load_file(run / stage / "model" / "model.safetensors")
    return weights, [line["loss"] for line in lines if "loss" in line]


def test_sharded_training_is_that_of_one_process(recipe, tmp_path):
    """Losses and checkpoint are equal within rounding."""
    words = ['stages=["demonstrate", "sft"]', "sft.trainer.bf16=false"]
    words += ["sft.trainer.learning_rate=1e-2"]
    for run in ("one", "two"):
        shutil.copytree(tmp_path / "run" / "demonstrate", tmp_path / run / "demonstrate")
    whole = [f"run={tmp_path / 'one'}", "sft.trainer.per_device_train_batch_size=4"]
    run_stage(load_config(Recipe, recipe, [*words, *whole]), "sft")
    code, errors = launch("sft", recipe, *words, f"run={tmp_path / 'two'}", **FSDP2)
    assert code == 0, errors
    expected, losses = weights_and_losses(tmp_path / "one", "sft")
    found, found_losses = weights_and_losses(tmp_path / "two", "sft")
    assert found_losses == pytest.approx(losses, rel=1e-5)
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, FSDP2], ids=["ddp", "fsdp2"])
@pytest.mark.parametrize(
    "settings",
    [
        ["sft.weights=bfloat16", "sft.trainer.activation_checkpointing=true"],
        ["grpo.trainer.beta=0.1", "grpo.trainer.num_iterations=2", "grpo.trainer.max_steps=4"],
        ["grpo.lora_rank=4", "grpo.trainer.beta=0.1"],
    ],
    ids=["bfloat16", "kl", "lora"],
)
def test_variants_of_sharded_training(recipe, tmp_path, settings, environment):
    stage = settings[0].partition(".")[0]
    folder = tmp_path / "other"
    shutil.copytree(tmp_path / "run" / "demonstrate", folder / "demonstrate")
    words = [f'stages=["demonstrate", "{stage}"]', f"run={folder}"]
    code, errors = launch(stage, recipe, *words, *settings, **environment)
    assert code == 0, errors
    weights, losses = weights_and_losses(folder, stage)
    assert len(losses) >= 2
    bfloat16 = "sft.weights=bfloat16" in settings
    assert {w.dtype for w in weights.values()} == {torch.bfloat16 if bfloat16 else torch.float32}


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, "fsdp_version is 1; use FSDP2"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed was never checked here; use FSDP2"),
        ({**FSDP2, "FSDP_OFFLOAD_PARAMS": "true"}, "fsdp_offload_params cannot be used"),
        (FSDP2, "asks for FSDP, but one process was started"),
    ],
    ids=["fsdp1", "deepspeed", "offload", "one process"],
)
def test_launches_that_cannot_be_used_are_refused(recipe, monkeypatch, environment, told):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=told):
        run_stage(load_config(Recipe, recipe), "sft")


def test_a_checkpoint_is_continued_as_it_was_written(recipe, tmp_path):
    checkpoint = tmp_path / "run" / "sft" / "checkpoints" / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 1}')
    (checkpoint / "pytorch_model_fsdp.bin").touch()
    with pytest.raises(ConfigError, match="written with sharded weights, and this training has w"):
        run_stage(load_config(Recipe, recipe), "sft")
