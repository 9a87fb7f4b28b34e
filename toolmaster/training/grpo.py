"""GRPO on our rollouts, through TRL's `GRPOTrainer` and its `rollout_func`.

TRL computes the loss and the advantages and owns the optimizer, checkpoints and processes. Each row
of the data names the candidate tasks of one group. `RolloutCollector` runs them with the rollout
engine, on a copy of the current weights in the fastest dtype of this machine, keeps the groups
whose rewards vary most, and returns their tokens with the mask of the rollout.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from toolmaster.chat import ChatFormat
from toolmaster.config import load_config
from toolmaster.errors import ConfigError
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import fast_dtype, find_model, load_model, load_tokenizer
from toolmaster.policies.base import Room, Sampling
from toolmaster.policies.names import served_model
from toolmaster.policies.served import ServedPolicy, load_served
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.progress import bar, training_callback
from toolmaster.protocols import Protocol
from toolmaster.rewards import Reward, Rewards
from toolmaster.system.plain import outside_loop
from toolmaster.tasksets import Taskset, taskset
from toolmaster.tasksets.taskset import TRAIN
from toolmaster.training.attention import use_packed_attention
from toolmaster.training.collector import RolloutCollector, Step, keep_in
from toolmaster.training.common import (
    Log,
    MetricLines,
    freeze_embeddings,
    lora,
    metrics_file,
    refuse_too_large,
    reports_in,
    save,
    speed_up,
    train,
    trainer_arguments,
)
from toolmaster.training.fields import check_fields, make_config
from toolmaster.training.grpo_tasks import opened, refuse_shared_state, task_rows
from toolmaster.training.grpo_trainer import PackedTrainer, RolloutTrainer
from toolmaster.training.publisher import Publisher
from toolmaster.training.settings import GRPO_STEPS, REWARDS, GrpoSettings
from toolmaster.training.step_ahead import StepAhead
from toolmaster.types import Trajectory


def train_grpo(
    model: str | Path,
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
    """Reinforce a model, preferably one that SFT has trained.

    Args:
        model: the checkpoint to start from, as `find_model` takes it.
        tasks: the tasks to practise on.
        rewards: score the rollouts.
        protocol: the trajectory format.
        limits: limits of each session.
        settings: fields of TRL, rewards and sampling.
        folder: where checkpoints and the result go; a stopped training continues from the last
            checkpoint there.
        seed: seed of the order of tasks and of sampling.
        log: called with the metrics of each step.
        on_group: called with the trajectories of each group that is trained on.
        progress: a `TrainerCallback` that shows progress, or None.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: a field of TRL cannot be set, groups do not divide the batch, or the rollouts
            of a task would change the same real state.
        InputError: the model cannot be loaded.
        PolicyError: every rollout of a step broke.
    """
    config = _config(settings, folder, seed)
    rows = task_rows(tasks, config, settings.oversample, seed)
    refuse_shared_state(tasks, rows, live_tools=settings.live_tools)
    start = find_model(str(model))
    refuse_too_large(start, settings)
    tokenizer = load_tokenizer(start)
    with asyncio.Runner() as runner, opened(tasks, runner):
        runner.run(rewards.check())
        sampling = Sampling(temperature=config.temperature, **dict(settings.sampling))
        policy = _policy(start, settings, sampling)
        publisher = None
        if isinstance(policy, ServedPolicy):
            publisher = Publisher(runner, policy, folder / "weights")
        prompts = [json.dumps(row) for row in rows]
        ahead = StepAhead[Step](prompts, config.num_iterations)
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
            publisher=publisher,
            ahead=ahead if settings.off_policy_steps else None,
        )
        trained = load_model(start, settings.weights, on_gpu=False)
        freeze_embeddings(trained)
        with reports_in(folder):
            trainer = _trainer(trained, config, collector, prompts, tokenizer, settings.lora_rank)
        if settings.off_policy_steps:
            trainer.correct_sampling()
        for callback in (MetricLines(log), *([progress] if progress else [])):
            trainer.add_callback(callback)
        try:
            train(trainer)
        finally:
            collector.close()
            runner.run(rewards.close())
        model = save(
            trainer,
            tokenizer,
            folder,
            stage="grpo",
            start=start,
            tasksets=[tasks.label],
            task_ids=[task_id for row in rows for task_id in row],
        )
        if publisher is not None:
            publisher.finish(model)
    return model


def _policy(
    start: Path, settings: GrpoSettings, sampling: Sampling
) -> TransformersPolicy | ServedPolicy:
    """Return what samples the rollouts: a copy of the model in this process, or its servers."""
    chat = ChatFormat(load_tokenizer(start))  # its own: rollouts may run beside the training
    served = None if settings.policy is None else served_model(settings.policy)
    if served is None:
        return TransformersPolicy(load_model(start, fast_dtype()), chat, sampling)
    return load_served(served, sampling, name="grpo", chat=chat, to_load=True)


def _trainer(
    model: Any,
    config: Any,
    collector: RolloutCollector,
    prompts: Sequence[str],
    tokenizer: Any,
    lora_rank: int,
) -> Any:
    """Return TRL's trainer, scoring without padding if the model's attention allows it."""
    packed = use_packed_attention(model)
    trainer: Any = (PackedTrainer if packed else RolloutTrainer)(
        model=model,
        args=config,
        reward_funcs=collector.reward,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=tokenizer,
        peft_config=lora(lora_rank),
        rollout_func=collector,
    )
    if packed:
        speed_up(trainer, temperature=config.temperature, entropy=True)
    return trainer


def trainer_fields(settings: GrpoSettings) -> dict[str, Any]:
    """Return the fields for TRL after a check.

    Raises:
        ConfigError: a field of TRL cannot be set, or groups do not divide the batch.
    """
    fields = check_fields("grpo", settings.trainer)
    if fields["temperature"] <= 0:
        raise ConfigError("grpo.trainer: temperature must be above 0: equal rollouts teach nothing")
    rows = fields["per_device_train_batch_size"] * fields["gradient_accumulation_steps"]
    if rows % fields["num_generations"]:
        raise ConfigError(
            "grpo.trainer: per_device_train_batch_size * gradient_accumulation_steps is"
            f" {rows}, not a multiple of num_generations = {fields['num_generations']}"
        )
    return fields


def _config(settings: GrpoSettings, folder: Path, seed: int) -> Any:
    """Return TRL's configuration."""
    fields = trainer_fields(settings)
    ours = {
        **trainer_arguments(folder, settings, seed=seed),
        "max_completion_length": settings.sampling.context_tokens,
        "steps_per_generation": fields["gradient_accumulation_steps"],
        "shuffle_dataset": False,
    }
    if "num_train_epochs" not in fields:
        ours["max_steps"] = GRPO_STEPS
    return make_config("grpo", fields, ours)


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
    policy: str | None = None,
    off_policy_steps: int = 0,
    live_tools: bool = False,
    **trainer: Any,
) -> Path:
    """Reinforce a model on a task set; called again, it continues a stopped training.

    Args:
        model: a checkpoint folder, preferably of a model that SFT has trained, or a model id of the
            Hub.
        tasks: a task set, or anything that `taskset` opens. The train split is used if the set has
            one and no other split is named.
        reward: a function `(Trajectory) -> float | PhaseReward | None`, plain or async; or the name
            of one; or several with their weights. None uses format, correctness and a small cost
            per call.
        output_dir: where checkpoints, rollouts, metrics and the result go.
        protocol: the trajectory format.
        limits: limits of each session; None takes those of the task set.
        sampling: the most tokens of a turn and of a rollout, and the number of rollouts in flight.
        seed: seed of the order of tasks and of sampling.
        lora_rank: 0 trains all weights; otherwise the rank of the adapters, merged at the end.
        oversample: tasks rolled out for each group that is trained on.
        policy: servers that sample the rollouts, `served:ADDRESS,ADDRESS...`; None samples them in
            this process.
        off_policy_steps: 1 samples the rollouts of a step while the one before is trained on.
        live_tools: whether rollouts may use tools whose real state they share.
        trainer: fields of TRL's `GRPOConfig`, such as `max_steps` or `num_generations`.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: TRL does not have a field, groups do not divide the batch, or the rollouts of a
            task would change the same real state.
        InputError: the model, task set or reward cannot be loaded.
        PolicyError: every rollout of a step broke.

    Example:
        >>> grpo("runs/sft/model", "world:short", output_dir="runs/grpo")  # doctest: +SKIP
        PosixPath('runs/grpo/model')
    """
    given = {
        "trainer": trainer,
        "lora_rank": lora_rank,
        "oversample": oversample,
        "policy": policy,
        "off_policy_steps": off_policy_steps,
        "live_tools": live_tools,
        "sampling": sampling or Room(),
    }
    settings = load_config(GrpoSettings, None, values=given)
    weights = REWARDS if reward is None else reward
    rewards = Rewards(weights if isinstance(weights, Mapping) else {weights: 1.0})
    chosen = taskset(tasks, default=TRAIN).for_training()
    folder = Path(output_dir)

    def work() -> Path:
        trainer_fields(settings)  # before anything is written
        folder.mkdir(parents=True, exist_ok=True)
        with bar("grpo", 1) as running:
            return train_grpo(
                model,
                chosen,
                rewards,
                Protocol.named(protocol),
                limits or chosen.limits or Limits(),
                settings,
                folder,
                seed=seed,
                log=metrics_file(folder),
                on_group=keep_in(folder),
                progress=training_callback(running),
            )

    return outside_loop(work)
