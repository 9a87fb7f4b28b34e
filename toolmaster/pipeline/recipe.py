"""The recipe: every setting of a run, in one file that all stages read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError, did_you_mean
from toolmaster.evaluation.settings import EvaluateSettings
from toolmaster.limits import Limits
from toolmaster.models.hub import SMOLLM2
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Taskset, taskset
from toolmaster.tasksets.taskset import TEST, TRAIN, refuse_endless, refuse_overlap
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.training.settings import GrpoSettings, SftSettings

Stage = Literal["demonstrate", "sft", "grpo", "evaluate"]
STAGES: tuple[Stage, ...] = ("demonstrate", "sft", "grpo", "evaluate")


_FOLDER = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def find_recipe(named: str) -> Path:
    """Return the file of a recipe.

    Args:
        named: Path of a TOML file, or the name of a recipe that comes with the package, such as
            "quickstart".

    Raises:
        ConfigError: No recipe has this name; the message lists the existing ones.
    """
    if named.endswith(".toml"):
        return Path(named)
    names = recipe_names()
    if named not in names:
        raise ConfigError(
            f"no recipe is called {named!r}{did_you_mean(named, names)}; there are"
            f" {', '.join(names)}, and your own by their files, such as mine.toml"
        )
    return _FOLDER / f"{named}.toml"


class Recipe(Settings):
    """A whole run."""

    run: Path = Path("runs/quickstart")
    """Folder that everything is written to."""
    stages: tuple[Stage, ...] = STAGES
    """Stages of the run, in order. A stage that is not named is not run."""
    model: str = SMOLLM2
    """The model to start from: a checkpoint folder, a model id of the Hub, or the quickstart's."""
    seed: int = Field(0, ge=0)
    """Seed of the choice and order of the tasks and of the sampling."""
    tasks: str = "world"
    """Task set, in one line; see `toolmaster tasks`. A run trains on its train split, and is
    evaluated on its test split unless `evaluate.tasks` names other task sets."""
    protocol: Protocol = Protocol.TRIAL
    """Form of a trajectory: `trial` tries the tools first, `direct` does not, `paper` is one
    loop."""
    limits: Limits | None = None
    """Limits of a session; if not set, those of the task set."""
    demonstrate: DemonstrationSettings = DemonstrationSettings(count=400)
    sft: SftSettings = SftSettings()
    grpo: GrpoSettings = GrpoSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    def training_tasks(self) -> Taskset:
        """Return the tasks to train on: the train split of `tasks` if the rest is measured.

        Raises:
            InputError: the task set cannot be opened, or has no tasks to train on.
        """
        tasks = taskset(self.tasks, default=TRAIN).for_training()
        if not tasks.part and not self.evaluate.tasks and "evaluate" in self.stages:
            tasks = tasks.split(TRAIN)
        if not len(tasks):
            raise InputError(
                f"{tasks.label} has no tasks to train on; name another split=, or in evaluate.tasks"
                " another set to measure on, so that all of this one are trained on"
            )
        return tasks

    def evaluation_tasks(self) -> list[Taskset]:
        """Return the task sets to measure on.

        Raises:
            InputError: a set cannot be opened, is empty or endless, or has tasks that are trained
                on.
        """
        trains = self.stages != ("evaluate",)
        if not self.evaluate.tasks:
            tasks = taskset(self.tasks, default=TEST)
            sets = [tasks.split(TEST) if trains and not tasks.part else tasks.for_evaluation()]
        else:
            sets = [taskset(line, default=TEST).for_evaluation() for line in self.evaluate.tasks]
        trained = self.training_tasks() if trains else None
        for measured in sets:
            if not len(measured):
                raise InputError(f"{measured.label} has no tasks to measure on")
            if "evaluate" in self.stages:
                refuse_endless(measured)
            if trained is not None:
                refuse_overlap(trained, measured)
        return sets

    def limits_for(self, tasks: Taskset) -> Limits:
        """Return the limits of a session of these tasks."""
        return self.limits or tasks.limits or Limits()
