"""Settings of the evaluation stage."""

from __future__ import annotations

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.policies.base import Sampling


class EvaluateSettings(Settings):
    """What the models of a run are measured on."""

    tasks: tuple[str, ...] = ()
    """Task sets to measure on, one line each; empty for the test split of the recipe's `tasks`."""
    rollouts: int = Field(1, ge=1)
    """How often each task is run."""
    base_tasks: int = Field(40, ge=0)
    """Tasks of each set for the model before training, which may fail them all, slowly; 0 leaves
    that model out."""
    sampling: Sampling = Sampling()
