"""From what was measured on each trajectory to named figures with intervals, and their table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import ConfigDict

from toolmaster.benchmarks.base import Case, LeftOut, Values
from toolmaster.evaluation.metrics import NO_LABEL, Interval, bootstrap
from toolmaster.evaluation.tables import EMPTY, Cell, Grid
from toolmaster.types import Record, Trajectory

ALL = "all"
"""The group of all tasks, beside one for each family."""


class Measured(NamedTuple):
    """A trajectory and its values."""

    trajectory: Trajectory
    values: Values


class Figure(Record):
    """A share with its 95% bootstrap interval over tasks."""

    model_config = ConfigDict(frozen=True)

    share: Interval
    tasks: int
    """How many tasks it was measured on."""


def general_values(case: Case, trajectory: Trajectory) -> dict[str, float]:
    """What is measured on every benchmark.

    Returns:
        `success`: the task's own verdict. `tool_recall`: the share of the needed tools that were
        called with success, where the benchmark tells which are needed. `call_success`: the share
        of well-formed calls without an error, where there were calls.
    """
    values = {"success": float(trajectory.success)}
    calls = trajectory.calls()
    succeeded = [step.call.name for step in calls if step.call and step.error is None]
    if case.needed:
        values["tool_recall"] = len(set(succeeded) & set(case.needed)) / len(set(case.needed))
    if calls:
        values["call_success"] = len(succeeded) / len(calls)
    return values


def figures(measured: Sequence[Measured]) -> dict[str, dict[str, Figure]]:
    """Group ("all", then each family) to figure name to figure.

    Rollouts of one task are averaged first; tasks are resampled.
    """
    groups: defaultdict[str, list[Measured]] = defaultdict(list)
    for item in measured:
        groups[item.trajectory.labels.get("family", NO_LABEL)].append(item)
    families = dict(sorted(groups.items())) if len(groups) > 1 else {}
    return {name: _of_group(group) for name, group in {ALL: measured, **families}.items()}


def _of_group(measured: Sequence[Measured]) -> dict[str, Figure]:
    by_task: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for trajectory, values in measured:
        for name, value in values.items():
            if not isinstance(value, str):
                by_task[name][trajectory.task_id].append(value)
    return {
        name: Figure(share=bootstrap([sum(v) / len(v) for v in tasks.values()]), tasks=len(tasks))
        for name, tasks in by_task.items()
    }


def figures_grid(title: str, found: Mapping[str, Mapping[str, Figure]]) -> Grid:
    """One row for each group, one column for each figure, in percent."""
    names = list(found[ALL])
    rows = []
    for group, of_group in found.items():
        tasks = max((figure.tasks for figure in of_group.values()), default=0)
        cells = [_cell(of_group.get(name)) for name in names]
        rows.append((Cell(group), Cell(str(tasks)), *cells))
    header = ("", "tasks", *(f"{name.replace('_', ' ')} %" for name in names))
    return Grid(title, header, tuple(rows), "95% bootstrap interval over tasks")


def left_out_grid(left_out: Sequence[LeftOut], shown: int = 20) -> Grid:
    """The rows that could not be loaded, at most `shown` of them by name."""
    rows = [
        (Cell(f"{item.file}, row {item.row}"), Cell(item.field or "-"), Cell(item.reason))
        for item in left_out[:shown]
    ]
    caption = f"{len(left_out)} rows could not be loaded" if left_out else "no row was left out"
    return Grid("Rows left out", ("row", "field", "reason"), tuple(rows), caption)


def _cell(figure: Figure | None) -> Cell:
    if figure is None:
        return EMPTY
    share = figure.share
    return Cell(f"{100 * share.mean:.1f}", f"[{100 * share.low:.0f}, {100 * share.high:.0f}]")
