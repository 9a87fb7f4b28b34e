"""The recipe: every setting of a run, in one file that all stages read."""

from __future__ import annotations

from pathlib import Path

from toolmaster.config import Settings
from toolmaster.evaluation.settings import EvaluateSettings
from toolmaster.models import SMOLLM2
from toolmaster.protocols import Protocol
from toolmaster.session import Limits
from toolmaster.teacher.settings import SynthesizeSettings
from toolmaster.training.settings import GrpoSettings, SftSettings
from toolmaster.world.settings import Seed, WorldSettings


class Recipe(Settings):
    """A whole run."""

    run: Path = Path("runs/quickstart")
    """Where everything it makes goes."""
    model: str = SMOLLM2
    """A checkpoint folder, or the name of the quickstart's model."""
    seed: Seed = 0
    """Of the tasks, their order and what is sampled."""
    protocol: Protocol = Protocol.TRIAL
    limits: Limits = Limits()
    world: WorldSettings = WorldSettings()
    synthesize: SynthesizeSettings = SynthesizeSettings()
    sft: SftSettings = SftSettings()
    grpo: GrpoSettings = GrpoSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
