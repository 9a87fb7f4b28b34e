"""`Evaluation`: what one model did on some tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from toolmaster.evaluation.analyses import ErrorClass, error_classes, success_by_calls
from toolmaster.evaluation.grids import Shown, render
from toolmaster.evaluation.intervals import Interval
from toolmaster.evaluation.metrics import (
    Summary,
    by_label,
    figures,
    is_scored,
    latest,
    pass_at_k,
    summarize,
)
from toolmaster.evaluation.tables import FAMILY, family_grid, figures_grid, of_set, sets_of
from toolmaster.types import Trajectory


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """What one model did on some tasks; `print` shows its tables.

    Tasks are the unit: the rollouts of a task are averaged first. Rollouts that broke by no doing
    of the model are not counted as failures; `summary.broken` is their number.

    Args:
        trajectories: of one model, any number of rollouts a task; of a rollout that was run again
            because it broke, the last counts.
        model: its name.
        facts: what the figures depend on: task set, versions, judges, tasks left out.
    """

    trajectories: Sequence[Trajectory]
    model: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trajectories", latest(self.trajectories))

    def __repr__(self) -> str:
        scored = any(map(is_scored, self.trajectories))
        return f"<{self.model}: success {self.success if scored else 'not measured'}>"

    @cached_property
    def summary(self) -> Summary:
        """All figures.

        Raises:
            InputError: there are no trajectories, all rollouts broke, or none was scored.
        """
        return summarize(self.trajectories)

    @property
    def success(self) -> Interval:
        """Share of tasks solved (mean@k for k rollouts a task)."""
        return self.summary.success

    @property
    def value(self) -> Interval:
        """Mean graded score."""
        return self.summary.value

    @property
    def parts(self) -> dict[str, Interval]:
        """Each named figure of the scores, such as a benchmark's own metrics."""
        return self.summary.parts

    def pass_at(self, k: int) -> Interval:
        """Share of tasks that at least one of k rollouts solves, estimated without bias.

        Args:
            k: how many rollouts are allowed; a task with fewer scored rollouts is left out.

        Raises:
            InputError: no task has k scored rollouts.
        """
        return pass_at_k(self.trajectories, k)

    def by(self, label: str) -> dict[str, Evaluation]:
        """One evaluation for each value of a label of the tasks.

        Args:
            label: such as "family"; "taskset" for the task sets. Tasks without it come under
                "unlabelled".
        """
        groups = by_label(self.trajectories, label)
        return {value: Evaluation(group, self.model, self.facts) for value, group in groups.items()}

    def by_calls(self) -> dict[str, Interval]:
        """Success against the number of calls: "0", "1", ... "8+"."""
        return success_by_calls(self.trajectories)

    def error_classes(self) -> dict[ErrorClass, int]:
        """How many rollouts failed for which reason; see `analyses.error_class`."""
        return error_classes(self.trajectories)

    def record(self) -> dict[str, Any]:
        """Everything it says, JSON-like.

        Returns:
            "model", "facts", the fields of `summary`, "figures" by name, and the summaries of
            "families".
        """
        return {
            "model": self.model,
            "facts": dict(self.facts),
            **self.summary.model_dump(mode="json"),
            "figures": {name: i.model_dump() for name, i in figures(self.trajectories).items()},
            "families": {
                name: part.summary.model_dump(mode="json") for name, part in self.by(FAMILY).items()
            },
        }

    def __rich__(self) -> RenderableType:
        if not any(map(is_scored, self.trajectories)):
            return Text(f"{self.model}: nothing was measured")
        results = {self.model: self.trajectories}
        shown: list[RenderableType] = []
        for label in sets_of(results):
            part = of_set(results, label)
            shown.append(render(figures_grid(part, f"{self.model} on {label}")))
            families = family_grid(part)
            if families is not None:
                shown.append(render(families))
        facts = [f"{key}: {value}" for key, value in self.facts.items() if key != "taskset"]
        shown += [Text(line, style="dim") for line in (self._effort(), *facts)]
        return Group(*shown)

    def _effort(self) -> str:
        s = self.summary
        return (
            f"{s.rollouts} rollouts of {s.tasks} tasks; per rollout {s.calls:.1f} calls"
            f" ({s.trial_calls:.1f} in the trial), {s.completion_tokens:.0f} tokens,"
            f" {s.seconds:.1f} s"
        )
