"""`Evaluation`: the results of one model on some tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from toolmaster.errors import InputError
from toolmaster.evaluation.behaviour import ErrorClass, error_class
from toolmaster.evaluation.intervals import Interval, mean_interval, pass_at
from toolmaster.evaluation.metrics import (
    EFFORT,
    SHARES,
    Number,
    TaskKey,
    by_task,
    is_scored,
    key_of,
    latest,
    numbers_by_task,
    succeeded,
)
from toolmaster.evaluation.tables import FAMILY, Shown, leading_number, run_grids
from toolmaster.types import Trajectory

NO_LABEL = "unlabelled"
"""Where `by` puts trajectories that lack the label."""


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """The results of one model on some tasks; printing it shows its tables.

    The unit is the task: the rollouts of a task are averaged first. Rollouts that broke through no
    fault of the model are not counted as failures; `broken` is their number.

    Args:
        trajectories: any number of rollouts of each task by one model. If a rollout that broke was
            repeated, the last one counts.
        model: the model's name.
        facts: what the figures depend on: task set, versions, judges, tasks left out.

    Example:
        >>> result = evaluate("runs/sft/model", "world:short tasks=200")  # doctest: +SKIP
        >>> print(result.success, result.by("family")["silent"].success)  # doctest: +SKIP
        0.86 [0.81, 0.91] 0.78 [0.64, 0.88]
    """

    trajectories: Sequence[Trajectory]
    model: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trajectories", latest(self.trajectories))

    def __repr__(self) -> str:
        return f"<{self.model}: success {self.success if self.rollouts else 'not measured'}>"

    @property
    def broken(self) -> int:
        """Number of rollouts that broke through no fault of the model; no figure counts them."""
        return sum(t.error is not None for t in self.trajectories)

    @property
    def rollouts(self) -> int:
        """The largest number of scored rollouts of any task; 0 if nothing was measured."""
        return max(map(len, self._outcomes().values()), default=0)

    @property
    def success(self) -> Interval:
        """Share of tasks solved (mean@k for k rollouts of each task).

        Raises:
            InputError: there are no trajectories, all rollouts broke, or none was scored.
        """
        success = self._mean(succeeded)
        if success is None:
            count = len(self.trajectories)
            broke = count == self.broken
            why = "all of them broke" if broke else "no task has an answer or a check"
            raise InputError(f"nothing to measure: {count} rollouts" + f", {why}" * bool(count))
        return success

    @property
    def value(self) -> Interval:
        """Mean graded score."""
        values = by_task(self._scored(), lambda t: None if t.score is None else t.score.value)
        return mean_interval([*values.values()])

    @property
    def parts(self) -> dict[str, Interval]:
        """Mean of each named part of the scores that is a share, such as a benchmark's metric."""
        shares = {n: v for n, v in self._parts().items() if all(0 <= x <= 1 for x in v)}
        return {name: mean_interval(values) for name, values in shares.items()}

    @property
    def figures(self) -> dict[str, Interval]:
        """All figures that are shares, by name.

        These are "success"; "pass@k" if tasks have k rollouts; the graded value and the parts of
        the scores; then `metrics.SHARES`.
        """
        k = self.rollouts
        figures = {"success" if k <= 1 else f"success (mean@{k})": self.success}
        if k > 1:
            figures[f"pass@{k}"] = self.pass_at(k)
        shares = {name: self._mean(number) for name, number in SHARES.items()}
        more = {name: share for name, share in shares.items() if share is not None}
        return {**figures, "value": self.value, **self.parts, **more}

    @property
    def effort(self) -> dict[str, float]:
        """What a rollout costs, averaged over the rollouts that did not break, by name.

        These are `metrics.EFFORT` and the parts of the scores that are counts. A number that no
        rollout has is missing, such as trial calls if there is no trial phase.
        """
        whole = [t for t in self.trajectories if t.error is None]
        numbers = {
            name: [n for t in whole if (n := f(t)) is not None] for name, f in EFFORT.items()
        }
        numbers |= {n: v for n, v in self._parts().items() if not all(0 <= x <= 1 for x in v)}
        return {name: sum(values) / len(values) for name, values in numbers.items() if values}

    def pass_at(self, k: int) -> Interval:
        """Return the unbiased estimate of the share of tasks that one of k rollouts solves.

        Args:
            k: number of rollouts allowed; a task with fewer scored rollouts is left out.

        Raises:
            InputError: no task has k scored rollouts.
        """
        most = self.rollouts
        if not 1 <= k <= most:
            raise InputError(
                f"pass@{k} needs {max(k, 1)} scored rollouts of a task; there are {most}"
            )
        enough = [won for won in self._outcomes().values() if len(won) >= k]
        return mean_interval([pass_at(int(sum(won)), len(won), k) for won in enough])

    def by(self, label: str) -> dict[str, Evaluation]:
        """Return one evaluation for each value of a label of the tasks.

        Args:
            label: a label such as "family"; "taskset" groups by task set.

        Returns:
            Maps label values to evaluations, sorted by the number that values begin with ("3
            tools"), then in order of appearance. Tasks without the label come under "unlabelled";
            groups without a scored rollout are left out.
        """
        if label == "taskset":
            return self._grouped(lambda t: t.taskset or "tasks")
        return self._grouped(lambda t: t.labels.get(label, NO_LABEL))

    def error_classes(self) -> dict[ErrorClass, Interval]:
        """Return the share of rollouts that failed for each reason; see `behaviour.error_class`."""
        scored = self._scored()

        def share(kind: ErrorClass) -> Interval:
            failed = by_task(scored, lambda t: float(error_class(t) is kind))
            return mean_interval([*failed.values()])

        return {kind: share(kind) for kind in ErrorClass} if scored else {}

    def record(self) -> dict[str, Any]:
        """Return the evaluation as JSON values, with the same figures for each family."""
        families = {name: part._measured() for name, part in self.by(FAMILY).items()}
        named = {"model": self.model, "facts": dict(self.facts)}
        return {**named, **self._measured(), "families": families}

    def _measured(self) -> dict[str, Any]:
        whole = [t for t in self.trajectories if t.error is None]
        errors = Counter(str(step.error) for t in whole for step in t.steps if step.error)
        return {
            "tasks": len({key_of(t) for t in whole}),
            "rollouts": len(whole),
            "broken": self.broken,
            "unscored": sum(t.score is None for t in whole),
            "success": self.success.model_dump(),
            "value": self.value.model_dump(),
            "parts": {name: interval.model_dump() for name, interval in self.parts.items()},
            "figures": {name: interval.model_dump() for name, interval in self.figures.items()},
            "effort": self.effort,
            "errors": {kind: count / len(whole) for kind, count in errors.most_common()},
            "stop_reasons": dict(Counter(str(t.stop_reason or "none") for t in whole)),
        }

    def __rich__(self) -> RenderableType:
        if not self.rollouts:
            return Text(f"{self.model}: nothing was measured")
        facts = [f"{key}: {value}" for key, value in self.facts.items() if key != "taskset"]
        return Group(*run_grids([self]), *(Text(line, "dim") for line in facts))

    def _scored(self) -> list[Trajectory]:
        return [t for t in self.trajectories if is_scored(t)]

    def _outcomes(self) -> dict[TaskKey, list[float]]:
        return numbers_by_task(self.trajectories, succeeded)

    def _mean(self, number: Number) -> Interval | None:
        values = by_task(self.trajectories, number)
        return mean_interval([*values.values()]) if values else None

    def _parts(self) -> dict[str, list[float]]:
        """Return the values of each named part of the scores, one per task."""
        scored = self._scored()
        names = dict.fromkeys(name for t in scored if t.score for name in t.score.parts)

        def part(name: str) -> Number:
            return lambda t: t.score.parts.get(name) if t.score else None

        return {name: [*by_task(scored, part(name)).values()] for name in names}

    def _grouped(self, group_of: Callable[[Trajectory], str]) -> dict[str, Evaluation]:
        groups: dict[str, list[Trajectory]] = {}
        for trajectory in self.trajectories:
            groups.setdefault(group_of(trajectory), []).append(trajectory)
        return {
            name: Evaluation(groups[name], self.model, self.facts)
            for name in sorted(groups, key=leading_number)
            if any(map(is_scored, groups[name]))
        }
