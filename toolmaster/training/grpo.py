"""GRPO on our rollouts, through TRL's `GRPOTrainer` and its `rollout_func`.

TRL keeps model, loss, advantages, optimizer, checkpoints and processes. Ours: each row of the data
names the candidate tasks of one group; `rollout_func` runs them with the one rollout engine against
a copy of the current weights in the dtype that is fastest here, keeps the groups whose rewards vary
most, and returns their tokens with the mask born in the rollout. `PackedGRPOTrainer` scores them
without padding.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from toolmaster import processes, rewards
from toolmaster.chat import ChatFormat
from toolmaster.errors import ConfigError, PolicyError
from toolmaster.limits import Limits
from toolmaster.models import fast_dtype, load_model, load_tokenizer
from toolmaster.policies.compiled import compile_blocks
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import groups, run_rollouts
from toolmaster.tasksets import Taskset
from toolmaster.training.attention import use_packed_attention
from toolmaster.training.common import (
    Log,
    MetricLines,
    base_model,
    keep_embeddings,
    lora,
    save,
    train,
    trainer_arguments,
)
from toolmaster.training.cpu_head import use_cpu_head
from toolmaster.training.settings import GrpoSettings
from toolmaster.types import Phase, Trajectory

GRPO_SEEDS = 500
"""Added to the seed, so that GRPO practises on other tasks than the demonstrations of that seed."""


class PackedGRPOTrainer(GRPOTrainer):
    """`GRPOTrainer` whose forward pass holds a batch as one row without padding."""

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,  # noqa: ARG002 - TRL's signature
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Score completions.

        Args:
            model: the trained or the reference model.
            input_ids: (B, T) prompts padded on the left, completions on the right.
            attention_mask: (B, T), 1 on real tokens.
            logits_to_keep: how many positions at the end are completion, C.
            batch_size: sequences of one row at most; None puts the whole batch in one row.
            compute_entropy: whether to return entropies.
            compute_aux_loss: ignored; no mixture of experts.

        Returns:
            Log-probabilities and entropies, (B, C), zero on padding; no auxiliary loss.
        """
        size = batch_size or len(input_ids)
        parts = [
            self._score_row(model, ids, mask, logits_to_keep, entropy=compute_entropy)
            for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
        ]
        log_probs = torch.cat([part for part, _ in parts])
        entropy = torch.cat([part for _, part in parts]) if compute_entropy else None
        return log_probs, entropy, None

    def _score_row(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *,
        entropy: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and, if wanted, entropies, (B, C), by one row without padding."""
        real = attention_mask.bool()
        positions = (attention_mask.cumsum(1) - 1)[real].unsqueeze(0)
        completion = torch.zeros_like(real)
        completion[:, -logits_to_keep:] = True
        labels = input_ids.masked_fill(~completion, -100)[real].unsqueeze(0)
        with self.accelerator.autocast():
            scored = model(
                input_ids=input_ids[real].unsqueeze(0),
                position_ids=positions,
                labels=labels,
                fused_lm_head=True,
            )

        def unpack(values: torch.Tensor) -> torch.Tensor:
            row = torch.cat([values.new_zeros(1), values[0].float()])  # of position t, not t - 1
            padded = row.new_zeros(real.shape).masked_scatter(real, row)
            return padded[:, -logits_to_keep:]

        return unpack(scored.log_probs), unpack(scored.entropy if entropy else scored.log_probs)


@dataclass(slots=True)
class Explorer:
    """TRL's `rollout_func`: runs the groups of one step.

    With several processes each rolls out its own prompts; `on_group` and `log` are called in the
    main one only, with the trajectories of all.

    Args:
        tasks: the tasks, open.
        policy: generates; takes over the trained weights before each step.
        protocol: how trajectories are laid out.
        limits: of each session.
        settings: rewards and sizes.
        on_group: receives the trajectories of each group that is trained on.
        log: receives numbers about all rollouts of a step, by TRL step.
    """

    tasks: Taskset
    policy: TransformersPolicy
    protocol: Protocol
    limits: Limits
    settings: GrpoSettings
    on_group: Callable[[list[Trajectory]], None]
    log: Log

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        """Roll out `prompts`, each a JSON list of candidate task ids, G times a prompt.

        Returns:
            `prompt_ids`, `completion_ids`, `env_mask` and `reward`, one entry for each prompt;
            `logprobs` is None (on-policy: TRL takes the trainer's own).

        Raises:
            PolicyError: every rollout broke, so that there is nothing to learn from.
        """
        self.policy.load_weights(_plain_weights(trainer))
        self.policy.name = f"grpo@{trainer.state.global_step}"
        rows = prompts[:: self.settings.group_size]
        candidates = [task_id for row in rows for task_id in json.loads(row)]
        tasks = [self.tasks[task_id] for task_id in candidates]
        requests = groups(tasks, self.settings.group_size)
        finished = asyncio.run(
            run_rollouts(
                requests,
                self.policy,
                self.protocol,
                self.limits,
                concurrency=self.policy.sampling.slots,
            )
        )
        if all(t.error is not None for t in finished):
            raise PolicyError(f"every rollout of the step broke: {finished[0].error}")
        chosen = self._choose(finished, len(rows))
        everyone, everyone_chosen = gather_object(finished), gather_object(chosen)
        if trainer.accelerator.is_main_process:
            self._report(everyone, trainer.state.global_step)
            size = self.settings.group_size
            for start in range(0, len(everyone_chosen), size):
                self.on_group(everyone_chosen[start : start + size])
        return self._fields(chosen)

    def _choose(self, finished: list[Trajectory], rows: int) -> list[Trajectory]:
        """Of all candidate groups as many as there are rows: those with the most varied rewards."""
        size = self.settings.group_size
        split = [finished[start : start + size] for start in range(0, len(finished), size)]
        varied = sorted(range(len(split)), key=lambda index: -self._spread(split[index]))
        return [t for index in sorted(varied[:rows]) for t in split[index]]

    def _spread(self, group: Iterable[Trajectory]) -> float:
        given = [rewards.total(t, self.settings.rewards) for t in group]
        return statistics.pstdev([reward for reward in given if reward is not None] or [0.0])

    def _fields(self, chosen: list[Trajectory]) -> dict[str, list[Any]]:
        tokens = [t.completion_ids() for t in chosen]
        end = self.policy.chat.end_of_turn_id
        # TRL cannot take an empty completion: a rollout that broke trains on one masked token.
        return {
            "prompt_ids": [t.prompt_ids or [end] for t in chosen],
            "completion_ids": [ids or [end] for ids, _ in tokens],
            "env_mask": [mask or [0] for _, mask in tokens],
            "logprobs": None,  # type: ignore[dict-item]
            "reward": [rewards.total(t, self.settings.rewards) for t in chosen],
        }

    def _report(self, finished: list[Trajectory], step: int) -> None:
        mean = statistics.fmean
        self.log(
            step,
            {
                "rollout_broken": mean(t.error is not None for t in finished),
                "rollout_success": mean(t.success for t in finished),
                "rollout_reward": mean(
                    rewards.total(t, self.settings.rewards) or 0.0 for t in finished
                ),
                "rollout_format": mean(t.format_ok for t in finished),
                "rollout_calls": mean(len(t.calls()) for t in finished),
                "rollout_trial_calls": mean(len(t.calls(Phase.TRIAL)) for t in finished),
                "rollout_tokens": mean(t.completion_tokens for t in finished),
            },
        )


def reward_of_rollout(
    prompts: list[str],  # noqa: ARG001 - TRL's signature
    reward: list[float | None],
    **_: Any,
) -> list[float | None]:
    """TRL's reward function: the rollout has been scored already."""
    return reward


def task_rows(tasks: Taskset, settings: GrpoSettings, *, seed: int) -> list[dict[str, str]]:
    """One row per group: the ids of its candidate tasks; used up, the tasks begin again."""
    count = settings.steps * settings.tasks_per_step * settings.candidates
    ids = tasks.shuffled(seed + GRPO_SEEDS).ids
    chosen = [ids[i % len(ids)] for i in range(count)]
    size = settings.candidates
    return [{"prompt": json.dumps(chosen[i : i + size])} for i in range(0, count, size)]


def train_grpo(
    model_folder: Path,
    tasks: Taskset,
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
    """Reinforce a model that SFT has trained.

    Args:
        model_folder: the checkpoint to start from.
        tasks: what is practised on.
        protocol: how trajectories are laid out.
        limits: of each session.
        settings: sizes, rewards, optimizer.
        folder: where checkpoints and the result go; continues from the last checkpoint there.
        seed: of tasks and sampling.
        log: receives the metrics of each step.
        on_group: receives the trajectories of each group that is trained on.
        progress: an optional `TrainerCallback` that shows progress.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: the groups of a step cannot be shared out evenly among the processes.
        InputError: a model that cannot be loaded.
        PolicyError: every rollout of a step broke.
    """
    sharing = processes.count()
    rows = settings.tasks_per_step * settings.group_size // settings.row_sequences
    if settings.tasks_per_step % sharing or rows % sharing:
        raise ConfigError(
            f"{sharing} processes cannot share {settings.tasks_per_step} tasks_per_step in {rows}"
            " rows evenly; make tasks_per_step, and tasks_per_step * group_size / row_sequences,"
            " multiples of the number of processes"
        )
    tokenizer = load_tokenizer(model_folder)
    chat = ChatFormat(tokenizer)
    acting = load_model(model_folder, fast_dtype())
    draw = seed * 1000 + processes.rank()  # processes must not sample alike
    policy = TransformersPolicy(acting, chat, settings.sampling, seed=draw)
    model = load_model(model_folder, "float32")
    keep_embeddings(model)
    packed = use_packed_attention(model)
    accumulation = rows // sharing
    arguments = GRPOConfig(
        **trainer_arguments(folder, seed=seed, save_steps=settings.save_steps),
        max_steps=settings.steps * settings.iterations,
        per_device_train_batch_size=settings.row_sequences,
        gradient_accumulation_steps=accumulation,
        steps_per_generation=accumulation,
        num_generations=settings.group_size,
        num_iterations=settings.iterations,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        temperature=settings.sampling.temperature,
        max_completion_length=settings.sampling.context_tokens,
        beta=settings.beta,
        scale_rewards=settings.scale_rewards,
        loss_type="grpo",  # by trajectory: by token, long failures would outweigh short successes
        shuffle_dataset=False,
    )
    kind = PackedGRPOTrainer if packed else GRPOTrainer
    trainer: Any = kind(
        model=model,
        args=arguments,
        reward_funcs=reward_of_rollout,
        train_dataset=Dataset.from_list(task_rows(tasks, settings, seed=seed)),
        processing_class=tokenizer,
        peft_config=lora(settings.lora_rank),
        rollout_func=Explorer(tasks, policy, protocol, limits, settings, on_group, log),
        callbacks=[MetricLines(log), *([progress] if progress else [])],
    )
    trainer.remove_callback(PrinterCallback)
    temperature = settings.sampling.temperature
    if packed:
        compile_blocks(trainer.model)
        use_cpu_head(base_model(trainer.model), temperature=temperature, entropy=True)
    if packed and trainer.ref_model is not None:
        use_cpu_head(trainer.accelerator.unwrap_model(trainer.ref_model), temperature=temperature)
    train(trainer)
    save(trainer, tokenizer, folder / "model")
    return folder / "model"


def _plain_weights(trainer: Any) -> dict[str, torch.Tensor]:
    """The trained weights under the base model's own names, adapters merged."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not hasattr(model, "merge_adapter"):
        return dict(model.state_dict())
    model.merge_adapter()
    weights = {
        name.replace(".base_layer.", "."): tensor.clone()
        for name, tensor in model.get_base_model().state_dict().items()
        if ".lora_" not in name
    }
    model.unmerge_adapter()
    return weights
