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
    unseen_tasks: int = Field(200, ge=0)
    seen_tasks: int = Field(40, ge=0)
    """Tasks of training domains with numbers that training never reaches."""
    base_tasks: int = Field(40, ge=0)
    """Tasks of each split for the base model, which fails them all and slowly."""
    sampling: Sampling = Sampling()
