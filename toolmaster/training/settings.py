"""Settings of the training stages, free of torch so that recipes parse fast."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from toolmaster.config import Settings
from toolmaster.policies.base import Sampling


class SftSettings(Settings):
    """Supervised fine-tuning on demonstrations; loss on thoughts and actions only (Eq. 5)."""

    epochs: float = Field(1.0, gt=0)
    learning_rate: float = Field(3e-4, gt=0)
    batch_sequences: int = Field(4, ge=1)
    """Sequences of one optimizer step, packed into one row without padding."""
    accumulation: int = Field(1, ge=1)
    """Rows of one optimizer step, where one row of `batch_sequences` would not fit in memory."""
    warmup_share: float = Field(0.05, ge=0, lt=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    lora_rank: int = Field(0, ge=0)
    """0 trains all weights; otherwise the rank of the adapters, merged at the end."""
    save_steps: int = Field(40, ge=1)
    """Optimizer steps between two checkpoints to resume from."""


class GrpoSettings(Settings):
    """Group-relative policy optimization (Eq. 6) with our rollouts."""

    steps: int = Field(4, ge=1)
    """Optimizer steps; each follows its own rollouts."""
    tasks_per_step: int = Field(6, ge=1)
    """Groups trained on in one step."""
    candidates: int = Field(2, ge=1)
    """Tasks rolled out for each group trained on; of all groups of a step those whose rewards vary
    most are kept, for one whose members all fare alike teaches nothing."""
    group_size: int = Field(6, ge=2)
    """Rollouts of one task."""
    row_sequences: int = Field(4, ge=1)
    """Sequences packed into one forward pass; must divide tasks_per_step * group_size."""
    learning_rate: float = Field(1e-5, gt=0)
    beta: float = Field(0.0, ge=0)
    """Weight of the KL term to the model before GRPO; 0 needs no reference model."""
    iterations: int = Field(1, ge=1)
    """Optimizer passes over the rollouts of one step."""
    scale_rewards: Literal["group", "batch"] = "group"
    """What a group's rewards less their mean are divided by: their own spread (the paper) or that
    of the whole step. Their own makes as much of a small cost, in a group that solved its task
    throughout, as of success in another."""
    lora_rank: int = Field(0, ge=0)
    rewards: dict[str, float] = Field({"format": 1.0, "correctness": 1.0, "call_cost": 0.02})
    """Reward name (see `rewards.REWARDS`) to weight; the reward is the weighted sum."""
    save_steps: int = Field(2, ge=1)
    sampling: Sampling = Sampling(temperature=1.0)

    @model_validator(mode="after")
    def _divides(self) -> GrpoSettings:
        if self.tasks_per_step * self.group_size % self.row_sequences:
            raise ValueError("row_sequences must divide tasks_per_step * group_size")
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature must be above 0: alike rollouts teach nothing")
        from toolmaster.rewards import REWARDS  # noqa: PLC0415 - rewards import types only

        unknown = sorted(set(self.rewards) - set(REWARDS))
        if unknown:
            raise ValueError(f"unknown reward {unknown[0]!r}; allowed: {', '.join(REWARDS)}")
        return self
