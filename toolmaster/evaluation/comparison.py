"""`compare`: two models on the same tasks, paired by task, and which tasks flipped.

`verdict` says in one sentence what the measurements of several models show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from toolmaster.errors import InputError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.evaluation.intervals import Interval, difference_interval
from toolmaster.evaluation.kept import read_evaluation
from toolmaster.evaluation.metrics import TaskKey, success_by_task
from toolmaster.evaluation.tables import (
    FAMILY,
    INTERVAL,
    Cell,
    Grid,
    Results,
    Shown,
    cell,
    of_set,
    points_cell,
    sets_of,
)
from toolmaster.types import Trajectory

FLIPPED_SHOWN = 10
"""The most task ids printed for each side; `Comparison.won` and `lost` hold all of them."""
LONGEST_NAME = 16
"""The most characters of a model's name that fit above a column."""
SPLITS = ("seen", "unseen")
"""Values of the label "split": whether training had the tools of a task."""
_Pairs = Mapping[TaskKey, tuple[float, float]]
Side = Evaluation | Sequence[Trajectory] | str | Path


@dataclass(frozen=True)
class Comparison(Shown):
    """Two models on the tasks that both ran; differences are `b` minus `a`. It can be printed.

    Args:
        a: the baseline.
        b: the model that is compared with it.
        difference: difference in success, paired by task, in [-1, 1].
        won: ids of the tasks on which a larger share of the rollouts of `b` succeeded.
        lost: ids of the tasks on which a smaller share did.
    """

    a: Evaluation
    b: Evaluation
    difference: Interval
    won: tuple[str, ...]
    lost: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return the comparison as JSON values, with the ids of all tasks that flipped."""
        return {
            "a": self.a.model,
            "b": self.b.model,
            "difference": self.difference.model_dump(),
            "won": list(self.won),
            "lost": list(self.lost),
        }

    def grid(self) -> Grid:
        """Return the table of success on shared tasks: overall, by task set, by family."""
        a, b = self.a, self.b
        rows = [_row("all tasks", _paired(a, b))]
        for label in ("taskset", FAMILY):
            others = b.by(label)
            groups = {n: _paired(part, others[n]) for n, part in a.by(label).items() if n in others}
            shared = {name: pairs for name, pairs in groups.items() if pairs}
            if len(shared) > 1:
                rows += [_row(name, pairs) for name, pairs in shared.items()]
        names, caption = [a.model, b.model], f"paired by task, {INTERVAL}"
        if max(map(len, names)) > LONGEST_NAME:  # such as the path of a file
            caption = f"A: {a.model}\nB: {b.model}\n{caption}"
            names = ["A", "B"]
        header = ("", "tasks", *names, "difference, points")
        return Grid("Success on the same tasks", header, tuple(rows), caption)

    def __rich__(self) -> RenderableType:
        shown = points_cell(self.difference)
        lines = [f"{shown.value} points {shown.note}, paired by task"]
        for name, ids in (("won", self.won), ("lost", self.lost)):
            further = f" and {len(ids) - FLIPPED_SHOWN} more" if len(ids) > FLIPPED_SHOWN else ""
            lines.append(f"{name} {len(ids)}: {', '.join(ids[:FLIPPED_SHOWN]) or 'none'}{further}")
        return Group(self.grid(), Text("\n".join(lines)))


def compare(a: Side, b: Side) -> Comparison:
    """Compare two models on the tasks that both ran.

    Args:
        a: the baseline: an evaluation, its trajectories, or where they are kept: their file, the
            folder of an evaluation, or that of a run.
        b: what is compared with it, likewise.

    Returns:
        The paired difference with its interval, and which tasks flipped. A task is left out if all
        rollouts of one side broke.

    Raises:
        InputError: a file cannot be read, or no task is in both.

    Example:
        >>> print(compare("a.jsonl", "b.jsonl"))  # doctest: +SKIP
    """
    one, two = _evaluation(a), _evaluation(b)
    pairs = _paired(one, two)
    if not pairs:
        raise InputError(f"no task in common: {_why_disjoint(one, two)}")
    won = tuple(key.task_id for key, (before, after) in pairs.items() if after > before)
    lost = tuple(key.task_id for key, (before, after) in pairs.items() if after < before)
    return Comparison(one, two, _difference(pairs), won, lost)


def compare_all(results: Results) -> list[Comparison]:
    """Compare each model with the one before it, if both ran some of the same tasks."""
    return [compare(a, b) for a, b in pairwise(results) if _paired(a, b)]


def verdict(results: Results) -> str:
    """Return one sentence: how well the last model does, and its gain over the one before.

    It is about the first task set, as in "Unseen tools: 88.5% [83, 92] of 160 tasks, +2.2 points
    over SFT [-0.9, +5.4]: no measurable difference."
    """
    labels = sets_of(results)
    if not labels:
        return "Nothing was measured."
    [*before, last] = of_set(results, labels[0])
    [split, *others] = {t.labels.get("split") for t in last.trajectories}
    topic = labels[0].partition(" (")[0]  # without the version
    if split in SPLITS and not others:
        topic = f"{split} tools".capitalize()
    shown, count = cell(last.success), last.success.count
    sentence = f"{topic}: {shown.value} {shown.note} of {count} task{'s' * (count > 1)}"
    if last.rollouts > 1:
        sentence += f" ({last.rollouts} rollouts of each)"
    comparisons = compare_all([*before[-1:], last])
    if not comparisons:
        return f"{sentence}."
    difference = comparisons[0].difference
    gain = points_cell(difference)
    meaning = "no measurable difference"
    if gain.strong:
        meaning = f"a measurable {'gain' if difference.mean > 0 else 'loss'}"
    return f"{sentence}, {gain.value} points over {before[-1].model} {gain.note}: {meaning}."


def _row(name: str, pairs: _Pairs) -> tuple[Cell, ...]:
    means = (sum(success) / len(pairs) for success in zip(*pairs.values(), strict=True))
    shown = (Cell(f"{100 * mean:.1f}%") for mean in means)
    return Cell(name), Cell(str(len(pairs))), *shown, points_cell(_difference(pairs))


def _paired(a: Evaluation, b: Evaluation) -> _Pairs:
    """Return the success of both models on each task that both have."""
    one, two = success_by_task(a.trajectories), success_by_task(b.trajectories)
    return {key: (one[key], two[key]) for key in sorted(one.keys() & two.keys())}


def _difference(pairs: _Pairs) -> Interval:
    return difference_interval([after - before for before, after in pairs.values()])


def _why_disjoint(a: Evaluation, b: Evaluation) -> str:
    one, two = success_by_task(a.trajectories), success_by_task(b.trajectories)
    sets = [" and ".join(sorted({key.taskset or "tasks" for key in side})) for side in (one, two)]
    if {key.task_id for key in one} & {key.task_id for key in two}:
        return f"A measured {sets[0]}, B measured {sets[1]}; measure both on the same task set"
    counts = f"A has {len(one)} scored tasks and B has {len(two)}"
    return f"{counts}; compare evaluations of the same tasks"


def _evaluation(side: Side) -> Evaluation:
    if isinstance(side, Evaluation):
        return side
    if isinstance(side, str | Path):
        return read_evaluation(Path(side))
    return Evaluation(side, next((t.policy for t in side), ""))
