"""GRPO on our rollouts, through TRL's `GRPOTrainer` and its `rollout_func`.

TRL keeps model, loss, advantages, optimizer, checkpoints and processes. Ours: each row of the data
names the candidate tasks of one group; `RolloutCollector` runs them with the one rollout engine
against a copy of the current weights in the dtype that is fastest here, keeps the groups whose
rewards vary most, and returns their tokens with the mask born in the rollout.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback

from toolmaster import processes
from toolmaster.chat import ChatFormat
from toolmaster.config import load_config
from toolmaster.errors import ConfigError
from toolmaster.limits import Limits
from toolmaster.models import fast_dtype, find_model, load_model, load_tokenizer
from toolmaster.plain import outside_loop
from toolmaster.policies.base import Room, Sampling
from toolmaster.policies.compiled import compile_blocks
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.progress import bar, training_callback
from toolmaster.protocols import Protocol
from toolmaster.provenance import write_training
from toolmaster.rewards import Reward, Rewards
from toolmaster.runs import append_trajectory
from toolmaster.tasksets import Isolation, Taskset, taskset
from toolmaster.tasksets.taskset import TRAIN
from toolmaster.training.attention import use_packed_attention
from toolmaster.training.collector import RolloutCollector
from toolmaster.training.common import (
    Log,
    MetricLines,
    base_model,
    keep_embeddings,
    lora,
    metrics_file,
    save,
    train,
    trainer_arguments,
)
from toolmaster.training.cpu_head import use_cpu_head
from toolmaster.training.fields import make_config
from toolmaster.training.grpo_trainer import PackedTrainer, RolloutTrainer
from toolmaster.training.settings import REWARDS, GrpoSettings
from toolmaster.types import Trajectory

LONGEST_EPOCH = 1_000_000
"""Tasks of which one epoch may be made."""
GRPO_SEEDS = 500
"""Added to the seed, so that GRPO practises on other tasks than the demonstrations of that seed."""


def reward_of_rollout(
    prompts: list[str],  # noqa: ARG001 - TRL's signature
    reward: list[float | None],
    **_: Any,
) -> list[float | None]:
    """TRL's reward function: the rollout has been scored already."""
    return reward


def task_rows(tasks: Taskset, config: Any, oversample: int, seed: int) -> list[list[str]]:
    """The candidate task ids of each group of a training; used up, the tasks begin again.

    Args:
        tasks: to practise on.
        config: TRL's; `max_steps`, or else `num_train_epochs`, says how many groups there are.
        oversample: candidates of each group.
        seed: of the order.

    Raises:
        ConfigError: epochs of a task set that has no end.
    """
    ids = tasks.shuffled(seed + GRPO_SEEDS).ids
    together = config.per_device_train_batch_size * config.gradient_accumulation_steps
    groups = together * processes.count() // config.num_generations
    if config.max_steps > 0:
        steps = -(-config.max_steps // config.num_iterations)
    elif len(ids) > LONGEST_EPOCH:
        raise ConfigError(
            f"{tasks.label} has {len(ids)} tasks, too many for num_train_epochs; give max_steps, or"
            f" name the first so many tasks of it"
        )
    else:
        steps = -(-len(ids) // (oversample * groups))
    count = steps * groups  # TRL drops groups that do not fill a step
    chosen = [ids[i % len(ids)] for i in range(count * oversample)]
    return [chosen[i : i + oversample] for i in range(0, len(chosen), oversample)]


def train_grpo(
    model_folder: Path,
    tasks: Taskset,
    rewards: Rewards,
    protocol: Protocol,
    limits: Limits,
    settings: GrpoSettings,
    folder: Path,
    *,
    seed: int,
    log: Log,
    on_group: Callable[[list[Trajectory]], None],
    progress: Any = None,
) -> Path:
    """Reinforce a model, best one that SFT has trained.

    Args:
        model_folder: the checkpoint to start from.
        tasks: what is practised on.
        rewards: score the rollouts.
        protocol: how trajectories are laid out.
        limits: of each session.
        settings: sizes and optimizer.
        folder: where checkpoints and the result go; continues from the last checkpoint there.
        seed: of tasks and sampling.
        log: receives the metrics of each step.
        on_group: receives the trajectories of each group that is trained on.
        progress: an optional `TrainerCallback` that shows progress.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: a field of TRL that cannot be set, groups that cannot be shared out evenly, or
            tasks whose rollouts would change the same real state.
        InputError: a model that cannot be loaded.
        PolicyError: every rollout of a step broke.
    """
    config = _config(settings, folder, seed)
    rows = task_rows(tasks, config, settings.oversample, seed)
    refuse_shared_state(tasks, rows, live_tools=settings.live_tools)
    tokenizer = load_tokenizer(model_folder)
    temperature = config.temperature
    sampling = Sampling(temperature=temperature, **dict(settings.sampling))
    acting = load_model(model_folder, fast_dtype())
    policy = TransformersPolicy(acting, ChatFormat(tokenizer), sampling)
    model = load_model(model_folder, "float32")
    keep_embeddings(model)
    packed = use_packed_attention(model)
    with asyncio.Runner() as runner, _opened(tasks, runner):
        collector = RolloutCollector(
            runner,
            tasks,
            policy,
            protocol,
            limits,
            rewards,
            group_size=config.num_generations,
            seed=seed,
            on_group=on_group,
            log=log,
        )
        trainer: Any = (PackedTrainer if packed else RolloutTrainer)(
            model=model,
            args=config,
            reward_funcs=reward_of_rollout,
            train_dataset=Dataset.from_list([{"prompt": json.dumps(row)} for row in rows]),
            processing_class=tokenizer,
            peft_config=lora(settings.lora_rank),
            rollout_func=collector,
            callbacks=[MetricLines(log), *([progress] if progress else [])],
        )
        trainer.remove_callback(PrinterCallback)
        if packed:
            compile_blocks(trainer.model)
            use_cpu_head(base_model(trainer.model), temperature=temperature, entropy=True)
        if packed and trainer.ref_model is not None:
            reference = trainer.accelerator.unwrap_model(trainer.ref_model)
            use_cpu_head(reference, temperature=temperature)
        try:
            train(trainer)
        finally:
            runner.run(rewards.close())
    save(trainer, tokenizer, folder / "model")
    if processes.is_main():
        write_training(
            folder / "model",
            "grpo",
            model_folder,
            base=str(model_folder),
            tasksets=[tasks.label],
            task_ids=[task_id for row in rows for task_id in row],
        )
    return folder / "model"


def _config(settings: GrpoSettings, folder: Path, seed: int) -> Any:
    """TRL's configuration."""
    ours = {
        **trainer_arguments(folder, seed=seed),
        "max_completion_length": settings.sampling.context_tokens,
        "steps_per_generation": settings.trainer["gradient_accumulation_steps"],
        "shuffle_dataset": False,
    }
    return make_config("grpo", settings.trainer, ours)


def refuse_shared_state(tasks: Taskset, rows: list[list[str]], *, live_tools: bool) -> None:
    """Refuse tasks whose rollouts would change the same real state.

    Raises:
        ConfigError: there is such a task, and nobody has said that this is wanted.
    """
    if live_tools:
        return
    for task_id in dict.fromkeys(task_id for row in rows for task_id in row):
        if tasks[task_id].isolation() is Isolation.SHARED:
            raise ConfigError(
                f"the rollouts of task {task_id!r} would all use the same real tools; let the"
                " task's `tools` be a function that makes fresh ones, or an object that can be"
                " copied, or set grpo.live_tools = true if they may do so"
            )


@contextmanager
def _opened(tasks: Taskset, runner: asyncio.Runner) -> Iterator[None]:
    """What the tools need, open in the runner's loop; one task there opens and closes it."""
    done: asyncio.Event

    async def hold(ready: asyncio.Future[None]) -> None:
        try:
            async with tasks.open():
                ready.set_result(None)
                await done.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def begin() -> asyncio.Task[None]:
        nonlocal done
        done = asyncio.Event()
        ready = asyncio.get_running_loop().create_future()
        holding = asyncio.create_task(hold(ready))
        await ready
        return holding

    async def end() -> None:
        done.set()
        await holding

    holding = runner.run(begin())
    try:
        yield
    finally:
        runner.run(end())


def grpo(
    model: str | Path,
    tasks: Any,
    *,
    reward: str | Reward | Mapping[Any, float] | None = None,
    output_dir: str | Path,
    protocol: Protocol | str = Protocol.TRIAL,
    limits: Limits | None = None,
    sampling: Room | None = None,
    seed: int = 0,
    lora_rank: int = 0,
    oversample: int = 1,
    live_tools: bool = False,
    **trainer: Any,
) -> Path:
    """Reinforce a model on a task set; a stopped training goes on when it is called again.

    Args:
        model: a checkpoint folder, best of a model that SFT has trained, or a model id of the Hub.
        tasks: a task set, or whatever `taskset` opens; its own train split where it has one and no
            other is named.
        reward: `(Trajectory) -> float | PhaseReward | None`, plain or async; or the name of one; or
            several with their weights. None for format, correctness and a small cost of calls.
        output_dir: where checkpoints, rollouts, metrics and the result go.
        protocol: how trajectories are laid out.
        limits: what each session allows; None for what the task set says.
        sampling: tokens of a turn and of a rollout, and rollouts in flight.
        seed: of tasks and sampling.
        lora_rank: 0 trains all weights; otherwise the rank of the adapters, merged at the end.
        oversample: tasks rolled out for each group that is trained on.
        live_tools: whether rollouts may use tools whose real state they share.
        trainer: fields of TRL's `GRPOConfig`, such as `max_steps` or `num_generations`.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: a field that TRL does not have, groups that cannot be shared out evenly, or
            tasks whose rollouts would change the same real state.
        InputError: a model, task set or reward that cannot be loaded.
        PolicyError: every rollout of a step broke.
    """
    given = {
        "trainer": trainer,
        "lora_rank": lora_rank,
        "oversample": oversample,
        "live_tools": live_tools,
        "sampling": sampling or Room(),
    }
    settings = load_config(GrpoSettings, None, values=given)
    usual = REWARDS if reward is None else {reward: 1.0}
    rewards = Rewards(reward if isinstance(reward, Mapping) else usual)
    chosen = taskset(tasks, default=TRAIN).for_training()
    folder = Path(output_dir)

    def keep(group: list[Trajectory]) -> None:
        for trajectory in group:
            append_trajectory(folder / "trajectories.jsonl", trajectory)

    def work() -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        with bar("grpo", 1) as running:
            return train_grpo(
                find_model(str(model)),
                chosen,
                rewards,
                Protocol(protocol),
                limits or chosen.limits or Limits(),
                settings,
                folder,
                seed=seed,
                log=metrics_file(folder),
                on_group=keep,
                progress=training_callback(running),
            )

    return outside_loop(work)
