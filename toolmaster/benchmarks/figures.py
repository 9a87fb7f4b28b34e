"""From what was measured on each trajectory to named figures with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from toolmaster.benchmarks.base import Case, Values
from toolmaster.evaluation.analyses import Share, share_of
from toolmaster.evaluation.metrics import NO_LABEL
from toolmaster.types import Trajectory

ALL = "all"
"""The group of all tasks, beside one for each family."""


class Measured(NamedTuple):
    """A case, a trajectory of it, and what was measured on it."""

    case: Case
    trajectory: Trajectory
    values: Values


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


def figures(measured: Sequence[Measured]) -> dict[str, dict[str, Share]]:
    """Group ("all", then each family) to figure name to its share over tasks.

    Rollouts of one task are averaged first; tasks are resampled.
    """
    groups: defaultdict[str, list[Measured]] = defaultdict(list)
    for item in measured:
        groups[item.trajectory.labels.get("family", NO_LABEL)].append(item)
    families = dict(sorted(groups.items())) if len(groups) > 1 else {}
    return {name: _of_group(group) for name, group in {ALL: measured, **families}.items()}


def _of_group(measured: Sequence[Measured]) -> dict[str, Share]:
    by_task: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for _, trajectory, values in measured:
        for name, value in values.items():
            if not isinstance(value, str):
                by_task[name][trajectory.task_id].append(value)
    return {
        name: share_of([sum(v) / len(v) for v in tasks.values()]) for name, tasks in by_task.items()
    }
