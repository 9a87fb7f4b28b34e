"""Settings of the evaluation stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.policies.base import Sampling

ModelName = Literal["base", "sft", "grpo"]


class EvaluateSettings(Settings):
    """Which models are measured, on how many tasks."""

    models: tuple[ModelName, ...] = ("base", "sft", "grpo")
    """The model before training, after SFT, after GRPO."""
    tasks: tuple[str, ...] = ()
    """Task sets to measure on, one line each; empty for the test split of the recipe's `tasks`."""
    base_tasks: int = Field(40, ge=0)
    """Tasks of each set for the base model, which fails them all and slowly."""
    sampling: Sampling = Sampling()
