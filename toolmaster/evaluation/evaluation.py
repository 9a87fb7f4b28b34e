"""`Evaluation`: what one model did on some tasks, and `compare`: two models on the same tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.text import Text

from toolmaster.evaluation.metrics import (
    NO_LABEL,
    Interval,
    Summary,
    by_task,
    latest,
    paired_difference,
    pass_at,
    share,
    success_by_task,
    summarize,
)
from toolmaster.evaluation.tables import compare_table, evaluation_table
from toolmaster.types import Trajectory

FLIPPED_SHOWN = 10
"""Task ids that a comparison names on each side; `won` and `lost` have them all."""


class _Shown:
    """Something that prints as rich renders it."""

    def __rich__(self) -> RenderableType:
        raise NotImplementedError

    def __str__(self) -> str:
        console = Console(width=100, color_system=None)
        with console.capture() as captured:
            console.print(self.__rich__())
        return captured.get().strip("\n")


@dataclass(frozen=True)
class Evaluation(_Shown):
    """What one model did on some tasks.

    Args:
        trajectories: of one model, any number of rollouts a task; of a rollout that was run again
            because it broke, the last counts.
        model: its name.
        facts: what the figures depend on: task set, versions, judges, tasks left out.

    Example:
        >>> print(Evaluation([]).trajectories)
        []
    """

    trajectories: Sequence[Trajectory] = field(repr=False)
    model: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trajectories", latest(self.trajectories))

    @property
    def summary(self) -> Summary:
        """All figures.

        Raises:
            InputError: there are no trajectories, or all rollouts broke.
        """
        return summarize(self.trajectories)

    @property
    def success(self) -> Interval:
        """Share of tasks solved (mean@k: the rollouts of a task are averaged first)."""
        return self.summary.success

    @property
    def value(self) -> Interval:
        """Mean graded score."""
        return self.summary.value

    @property
    def parts(self) -> dict[str, Interval]:
        """Each named figure of the scores."""
        return self.summary.parts

    def pass_at(self, k: int) -> Interval:
        """Share of tasks that at least one of k rollouts solves; see `metrics.pass_at`.

        Raises:
            InputError: a task has fewer than k rollouts that did not break.
        """
        counts = by_task(self.trajectories, lambda _: 1.0)
        rollouts = {
            task: [t.success for t in self.trajectories if t.task_id == task and t.error is None]
            for task in counts
        }
        return share([pass_at(sum(won), len(won), k) for won in rollouts.values()])

    def by(self, label: str) -> dict[str, Evaluation]:
        """One evaluation for each value of a label, such as "family"; "taskset" for task sets."""
        groups: dict[str, list[Trajectory]] = {}
        for t in self.trajectories:
            value = t.taskset if label == "taskset" else t.labels.get(label, NO_LABEL)
            groups.setdefault(value, []).append(t)
        return {
            value: Evaluation(group, self.model, self.facts)
            for value, group in sorted(groups.items())
            if any(t.error is None for t in group)
        }

    def __rich__(self) -> RenderableType:
        lines = [evaluation_table(self.model, self.trajectories)]
        facts = "; ".join(f"{key}: {value}" for key, value in self.facts.items())
        return Group(*lines, Text(facts, style="dim"))


@dataclass(frozen=True)
class Comparison(_Shown):
    """Two models on the tasks that both ran; differences are `b` minus `a`.

    Args:
        a: the baseline.
        b: what is compared with it.
        difference: of success, paired by task.
        won: ids of tasks of which `b` solved a larger share of its rollouts.
        lost: ids of tasks of which it solved a smaller share.
    """

    a: Evaluation
    b: Evaluation
    difference: Interval
    won: tuple[str, ...]
    lost: tuple[str, ...]

    def __rich__(self) -> RenderableType:
        table = compare_table(self.a.model, self.a.trajectories, self.b.model, self.b.trajectories)
        return Group(table, Text(str_of(self)))


def str_of(comparison: Comparison) -> str:
    """The comparison in words: the difference, then which tasks flipped."""
    d = comparison.difference
    interval = (
        "one task" if d.low is None or d.high is None else f"{_points(d.low)}, {_points(d.high)}"
    )
    lines = [f"{_points(d.mean)} points [{interval}], paired by task"]
    for name, ids in (("won", comparison.won), ("lost", comparison.lost)):
        more = f" and {len(ids) - FLIPPED_SHOWN} more" if len(ids) > FLIPPED_SHOWN else ""
        lines.append(f"{name} {len(ids)}: {', '.join(ids[:FLIPPED_SHOWN]) or 'none'}{more}")
    return "\n".join(lines)


def _points(number: float) -> str:
    return f"{round(100 * number, 1) + 0.0:+.1f}"  # + 0.0: never "-0.0"


def compare(
    a: Evaluation | Sequence[Trajectory], b: Evaluation | Sequence[Trajectory]
) -> Comparison:
    """Compare two models on the tasks that both ran.

    Args:
        a: the baseline: an evaluation, or its trajectories.
        b: what is compared with it.

    Returns:
        The paired difference with its interval, and which tasks flipped.

    Raises:
        InputError: no task id is in both.
    """
    one, two = (_evaluation(side) for side in (a, b))
    difference = paired_difference(one.trajectories, two.trajectories)
    before, after = (success_by_task(side.trajectories) for side in (one, two))
    common = sorted(before.keys() & after.keys())
    return Comparison(
        one,
        two,
        difference,
        tuple(task for task in common if after[task] > before[task]),
        tuple(task for task in common if after[task] < before[task]),
    )


def _evaluation(side: Evaluation | Sequence[Trajectory]) -> Evaluation:
    if isinstance(side, Evaluation):
        return side
    return Evaluation(side, next((t.policy for t in side), ""))
