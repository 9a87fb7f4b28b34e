"""Settings of the training stages; importing them loads no torch, so that recipes parse fast.

`[sft.trainer]` takes the fields of TRL's `SFTConfig`, `[grpo.trainer]` those of `GRPOConfig`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from toolmaster.config import Settings
from toolmaster.policies.base import Room
from toolmaster.policies.names import served_model

Dtype = Literal["float32", "bfloat16"]
SFT_DEFAULTS: dict[str, Any] = {
    "num_train_epochs": 1.0,
    "learning_rate": 3e-4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0.05,
    "lr_scheduler_type": "linear",
    "save_steps": 40,
}
"""Defaults of `[sft.trainer]`; `warmup_steps` below 1 is a fraction of all steps."""
GRPO_DEFAULTS: dict[str, Any] = {
    "num_generations": 6,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 9,
    "learning_rate": 1e-5,
    "lr_scheduler_type": "constant",
    "temperature": 1.0,
    "beta": 0.0,
    "num_iterations": 1,
    "scale_rewards": "group",
    "loss_type": "grpo",
    "save_steps": 2,
}
"""Defaults of `[grpo.trainer]`. The loss is averaged per rollout: averaged per token, long failures
would outweigh short successes."""
REWARDS = {"format": 1.0, "correctness": 1.0, "call_cost": 0.02}
"""Default rewards and their weights."""


def _filled(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults and the given fields; of `key=value` text, numbers are read.

    Names and types are checked in `training.fields`, before a training: TRL is slow to import.
    """
    fields = {**defaults, **given}
    for name, value in given.items():
        if isinstance(value, str):
            with suppress(ValueError):
                fields[name] = json.loads(value)
    return fields


GRPO_STEPS = 4
"""`max_steps` of GRPO if neither it nor `num_train_epochs` is given."""


class Trained(Settings):
    """What is trained of a model, and in which precision."""

    lora_rank: int = Field(0, ge=0)
    """Rank of the LoRA adapters, which are merged at the end; 0 trains all weights instead."""
    weights: Dtype = "float32"
    """Dtype of the trained weights, their gradients and the optimizer's averages. `bfloat16` takes
    half of the memory and loses updates that are small, such as those of GRPO at 1e-6."""


class SftSettings(Trained):
    """Supervised fine-tuning on demonstrations; the loss is on the model's own turns."""

    trainer: dict[str, Any] = Field({}, validate_default=True)
    """Any field of TRL's `SFTConfig`, as in `--sft.trainer.learning-rate 1e-4`."""

    @field_validator("trainer")
    @classmethod
    def _with_defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _filled(given, SFT_DEFAULTS)


class JudgeSettings(Settings):
    """The model behind the reward "judge"."""

    model: str | None = None
    """Model behind the reward "judge": `openai:NAME`. Its key is read from `JUDGE_API_KEY`, or else
    `OPENAI_API_KEY`."""
    base_url: str | None = None
    """Endpoint of the judge; if not set, `OPENAI_BASE_URL` or OpenAI's own."""
    prices: tuple[float, float] | None = None
    """Price of a million tokens that the judge reads, and of a million that it writes."""
    max_cost: float | None = Field(None, gt=0)
    """Most money to spend on the judge; after that, rollouts are left out of their groups."""

    @model_validator(mode="after")
    def _priced(self) -> JudgeSettings:
        if self.max_cost is not None and self.prices is None:
            raise ValueError("max_cost needs prices, for example prices = [0.15, 0.6]")
        return self


class GrpoSettings(Trained):
    """Group-relative policy optimization: the better rollouts of each task are reinforced."""

    trainer: dict[str, Any] = Field({}, validate_default=True)
    """Any field of TRL's `GRPOConfig`, as in `--grpo.trainer.max-steps 15`; 4 steps if neither
    `max_steps` nor `num_train_epochs` is set."""
    oversample: int = Field(2, ge=1)
    """Number of tasks tried for each group that is trained on. The groups of a step whose rewards
    vary most are kept: a group with equal rewards teaches nothing."""
    rewards: dict[str, float] = Field(REWARDS)
    """Weight of each reward: format, correctness, score, call_cost, execution_errors,
    trial_information, judge, FILE.py:NAME or MODULE:NAME. Those that are not named keep their
    weight; weight 0 removes one."""
    judge: JudgeSettings = JudgeSettings()
    policy: str | None = None
    """Servers that sample the rollouts: `served:http://a:8000,http://b:8000`. Before each step they
    load the weights from the folder `weights` of the stage, which they must be able to read. If not
    set, rollouts are sampled in this process."""
    off_policy_steps: int = Field(0, ge=0, le=1)
    """1 lets the servers sample the rollouts of a step while the one before is trained on. Their
    weights are then one step old, for which TRL corrects. Needs `policy`."""
    live_tools: bool = False
    """Let rollouts use tools whose real state they share, such as a live service."""
    sampling: Room = Room()
    """Most tokens of a turn and of a rollout, and number of rollouts at the same time."""

    @field_validator("trainer")
    @classmethod
    def _with_defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _filled(given, GRPO_DEFAULTS)

    @model_validator(mode="after")
    def _served(self) -> GrpoSettings:
        if self.policy is not None and served_model(self.policy) is None:
            raise ValueError(
                f"policy is served:ADDRESS,ADDRESS..., received {self.policy!r}; leave it out to"
                " sample in this process"
            )
        if self.off_policy_steps and self.policy is None:
            raise ValueError("off_policy_steps needs policy = served:ADDRESS,ADDRESS...")
        return self
