"""`compare`: two models on the same tasks, paired by task, and which tasks flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from toolmaster.errors import InputError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.evaluation.grids import INTERVAL, Cell, Grid, Shown, points, points_cell, render
from toolmaster.evaluation.intervals import Interval, difference_interval
from toolmaster.evaluation.kept import read_evaluation
from toolmaster.evaluation.metrics import TaskKey, by_label, success_by_task
from toolmaster.evaluation.tables import FAMILY
from toolmaster.types import Trajectory

FLIPPED_SHOWN = 10
"""Task ids that are printed on each side; `Comparison.won` and `lost` have them all."""
Side = Evaluation | Sequence[Trajectory] | str | Path


@dataclass(frozen=True)
class Comparison(Shown):
    """Two models on the tasks that both ran; differences are `b` minus `a`.

    Args:
        a: the baseline.
        b: what is compared with it.
        difference: of success, paired by task, in [-1, 1].
        won: ids of the tasks of which `b` solved a larger share of its rollouts.
        lost: ids of the tasks of which it solved a smaller share.
    """

    a: Evaluation
    b: Evaluation
    difference: Interval
    won: tuple[str, ...]
    lost: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Everything it says, JSON-like, with the ids of all tasks that flipped."""
        return {
            "a": self.a.model,
            "b": self.b.model,
            "difference": self.difference.model_dump(),
            "won": list(self.won),
            "lost": list(self.lost),
        }

    def __rich__(self) -> RenderableType:
        return Group(render(compare_grid(self.a, self.b)), Text(self._in_words()))

    def _in_words(self) -> str:
        """The difference, then which tasks flipped."""
        d = self.difference
        interval = "one task"
        if d.low is not None and d.high is not None:
            interval = f"{points(d.low)}, {points(d.high)}"
        lines = [f"{points(d.mean)} points [{interval}], paired by task"]
        for name, ids in (("won", self.won), ("lost", self.lost)):
            further = f" and {len(ids) - FLIPPED_SHOWN} more" if len(ids) > FLIPPED_SHOWN else ""
            lines.append(f"{name} {len(ids)}: {', '.join(ids[:FLIPPED_SHOWN]) or 'none'}{further}")
        return "\n".join(lines)


def compare(a: Side, b: Side) -> Comparison:
    """Compare two models on the tasks that both ran.

    Args:
        a: the baseline: an evaluation, its trajectories, or the file that it kept them in.
        b: what is compared with it, likewise.

    Returns:
        The paired difference with its interval, and which tasks flipped. A task of which every
        rollout of one side broke is left out.

    Raises:
        InputError: a file cannot be read, or no task is in both.

    Example:
        >>> print(compare("a.jsonl", "b.jsonl"))  # doctest: +SKIP
    """
    one, two = _evaluation(a), _evaluation(b)
    differences = _differences(one.trajectories, two.trajectories)
    return Comparison(
        one,
        two,
        difference_interval([*differences.values()]),
        tuple(key.task_id for key, difference in differences.items() if difference > 0),
        tuple(key.task_id for key, difference in differences.items() if difference < 0),
    )


def compare_grid(a: Evaluation, b: Evaluation) -> Grid:
    """Success of both on the tasks they share, overall and for each task set and family.

    Raises:
        InputError: no task is in both.
    """
    rows = [_row("all tasks", a.trajectories, b.trajectories)]
    for label in ("taskset", FAMILY):
        groups, others = by_label(a.trajectories, label), by_label(b.trajectories, label)
        names = [n for n in groups if n in others and _common(groups[n], others[n])]
        if len(names) > 1:
            rows += [_row(name, groups[name], others[name]) for name in names]
    header = ("", "tasks", "A, %", "B, %", "B - A, points")  # names may be long paths
    caption = f"A: {a.model}\nB: {b.model}\npaired by task, {INTERVAL}"
    return Grid("Success on the same tasks", header, tuple(rows), caption)


def _row(name: str, a: Sequence[Trajectory], b: Sequence[Trajectory]) -> tuple[Cell, ...]:
    differences = _differences(a, b)
    means = [
        sum(success[key] for key in differences) / len(differences)
        for success in (success_by_task(a), success_by_task(b))
    ]
    shown = (Cell(f"{100 * mean:.1f}") for mean in means)
    interval = difference_interval([*differences.values()])
    return Cell(name), Cell(str(len(differences))), *shown, points_cell(interval)


def _differences(a: Sequence[Trajectory], b: Sequence[Trajectory]) -> Mapping[TaskKey, float]:
    """Success of `b` minus that of `a` for each task that both have.

    Raises:
        InputError: there is none.
    """
    one, two = success_by_task(a), success_by_task(b)
    common = sorted(one.keys() & two.keys())
    if not common:
        raise InputError(f"no task in common: {_why_disjoint(one, two)}")
    return {key: two[key] - one[key] for key in common}


def _common(a: Sequence[Trajectory], b: Sequence[Trajectory]) -> bool:
    return bool(success_by_task(a).keys() & success_by_task(b).keys())


def _why_disjoint(a: Mapping[TaskKey, float], b: Mapping[TaskKey, float]) -> str:
    sets = [" and ".join(sorted({key.taskset or "tasks" for key in side})) for side in (a, b)]
    if {key.task_id for key in a} & {key.task_id for key in b}:
        return f"A measured {sets[0]}, B measured {sets[1]}; measure both on the same task set"
    return f"A has {len(a)} scored tasks and B has {len(b)}; compare evaluations of the same tasks"


def _evaluation(side: Side) -> Evaluation:
    if isinstance(side, Evaluation):
        return side
    if isinstance(side, str | Path):
        return read_evaluation(Path(side))
    return Evaluation(side, next((t.policy for t in side), ""))
