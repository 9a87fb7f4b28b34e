"""Settings of the evaluation stage."""

from __future__ import annotations

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.policies.base import Sampling


class EvaluateSettings(Settings):
    """How models are measured, and on which tasks."""

    tasks: tuple[str, ...] = ()
    """Task sets to measure on, one line each; if not set, the test split of `tasks`."""
    rollouts: int = Field(1, ge=1)
    """Number of rollouts of each task."""
    base_tasks: int = Field(40, ge=0)
    """Number of tasks of each set that the model before training is measured on. It is slow and may
    fail all of them; 0 leaves it out."""
    sampling: Sampling = Sampling()
