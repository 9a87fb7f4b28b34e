"""The recipe: every setting of a run, in one file that all stages read."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.evaluation.settings import EvaluateSettings
from toolmaster.limits import Limits
from toolmaster.models import SMOLLM2
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Taskset, taskset
from toolmaster.tasksets.taskset import TEST, TRAIN, refuse_overlap
from toolmaster.teacher.settings import SynthesizeSettings
from toolmaster.training.settings import GrpoSettings, SftSettings


class Recipe(Settings):
    """A whole run."""

    run: Path = Path("runs/quickstart")
    """Where everything it makes goes."""
    model: str = SMOLLM2
    """A checkpoint folder, or the name of the quickstart's model."""
    seed: int = Field(0, ge=0)
    """Of the tasks, their order and what is sampled."""
    protocol: Protocol = Protocol.TRIAL
    limits: Limits = Limits()
    tasks: str = "world"
    """The task set to train on, in one line; see `toolmaster tasks`."""
    synthesize: SynthesizeSettings = SynthesizeSettings()
    sft: SftSettings = SftSettings()
    grpo: GrpoSettings = GrpoSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    def training_tasks(self) -> Taskset:
        """The tasks to train on: the train split of `tasks` where evaluation measures the rest."""
        tasks = taskset(self.tasks).for_training()
        if tasks.part or self.evaluate.tasks:
            return tasks
        return tasks.split(TRAIN)

    def evaluation_tasks(self) -> list[Taskset]:
        """The task sets to measure on.

        Raises:
            ConfigError: a task to measure on is one of those to train on.
        """
        if not self.evaluate.tasks:
            return [taskset(self.tasks).split(TEST)]
        training = self.training_tasks()
        sets = [taskset(line).for_evaluation() for line in self.evaluate.tasks]
        for measured in sets:
            refuse_overlap(training, measured)
        return sets
