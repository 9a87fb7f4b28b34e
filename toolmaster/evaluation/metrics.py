"""Pure functions from trajectories to figures.

Tasks are the unit of uncertainty: the rollouts of one task are averaged first, and intervals speak
of tasks. Two kinds of rollouts say nothing about success and are counted apart: one that broke by
no doing of the model (`Trajectory.error`), and one whose task has neither an answer nor a check.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from pydantic import ConfigDict

from toolmaster.errors import InputError
from toolmaster.evaluation.behaviour import (
    call_success,
    execution_errors,
    recoveries,
    tool_recall,
    useful_trials,
)
from toolmaster.evaluation.intervals import Interval, mean_interval, number_interval, pass_at
from toolmaster.types import Phase, Record, Trajectory

NO_LABEL = "unlabelled"
"""Where `by_label` puts trajectories that lack the label."""


class TaskKey(NamedTuple):
    """A task among those of all task sets: ids are unique in one set only."""

    taskset: str
    """Label of the task set; "" where unknown."""
    task_id: str


class Summary(Record):
    """What a set of trajectories amounts to.

    Intervals are over tasks; other means are over the rollouts that did not break.
    """

    model_config = ConfigDict(frozen=True)

    tasks: int
    """Tasks with a rollout that did not break."""
    rollouts: int
    """Rollouts that did not break."""
    broken: int = 0
    """Rollouts that broke by no doing of the model; nothing else here counts them."""
    unscored: int = 0
    """Rollouts of tasks without an answer and a check; no figure of success counts them."""
    success: Interval
    """Share of tasks solved (mean@k: a task's rollouts are averaged first)."""
    value: Interval
    """Mean graded score."""
    parts: dict[str, Interval]
    """Each named figure of the scores; a task that does not have it is left out."""
    tool_recall: Interval | None
    """Share of the needed tools called with success; None where no task tells which are needed."""
    call_success: Interval | None
    """Share of well-formed calls without an error; None without calls."""
    format_ok: float
    """Share that answered without a single format error."""
    calls: float
    """Well-formed calls, both phases."""
    trial_calls: float
    execution_calls: float
    useful_trials: float
    """Trial calls that told something new, see `useful_trials`."""
    unproductive_trials: float
    """The other trial calls."""
    recovery: float | None
    """Share of all mistakes mended later, see `recoveries`; None when there were none."""
    errors: dict[str, float]
    """Error kind to its mean number per rollout, most frequent first."""
    execution_errors: float
    """Turns of the execution phase that were answered with an error."""
    completion_tokens: float
    seconds: float
    stop_reasons: dict[str, int]
    """Stop reason to the number of rollouts; "none" where there is none."""


def summarize(trajectories: Sequence[Trajectory]) -> Summary:
    """Compute every figure of a set of trajectories.

    Args:
        trajectories: of one policy, any number of rollouts per task.

    Returns:
        The summary; JSON with `model_dump_json`.

    Raises:
        InputError: there are no trajectories, all rollouts broke, or none was scored.
    """
    whole = [t for t in trajectories if t.error is None]
    scored = [t for t in whole if is_scored(t)]
    _need_scored(len(trajectories), len(whole), len(scored))

    def mean(number: Callable[[Trajectory], float]) -> float:
        return sum(map(number, whole)) / len(whole)

    names = dict.fromkeys(name for t in scored if t.score for name in t.score.parts)
    trials, useful = mean(lambda t: len(t.calls(Phase.TRIAL))), mean(useful_trials)
    recovered = [recoveries(t) for t in whole]
    mistakes = sum(r.mistakes for r in recovered)
    kinds = Counter(str(s.error) for t in whole for s in t.steps if s.error is not None)
    stops = Counter(str(t.stop_reason or "none") for t in whole)
    return Summary(
        tasks=len({key_of(t) for t in whole}),
        rollouts=len(whole),
        broken=len(trajectories) - len(whole),
        unscored=len(whole) - len(scored),
        success=success_of(scored),
        value=mean_interval([*by_task(scored, _value).values()]),
        parts={
            name: number_interval([*by_task(scored, partial(_part, name)).values()])
            for name in names
        },
        tool_recall=_if_any(by_task(whole, tool_recall)),
        call_success=_if_any(by_task(whole, call_success)),
        format_ok=mean(lambda t: t.format_ok),
        calls=mean(lambda t: len(t.calls())),
        trial_calls=trials,
        execution_calls=mean(lambda t: len(t.calls(Phase.EXECUTION))),
        useful_trials=useful,
        unproductive_trials=trials - useful,
        recovery=sum(r.mended for r in recovered) / mistakes if mistakes else None,
        errors={kind: count / len(whole) for kind, count in kinds.most_common()},
        execution_errors=mean(execution_errors),
        completion_tokens=mean(lambda t: t.completion_tokens),
        seconds=mean(lambda t: t.seconds),
        stop_reasons=dict(stops.most_common()),
    )


def _need_scored(rollouts: int, whole: int, scored: int) -> None:
    if not scored:
        why = "all of them broke" if not whole else "no task has an answer or a check"
        raise InputError(f"nothing to measure: {rollouts} rollouts{', ' + why if rollouts else ''}")


def _if_any(figures: dict[TaskKey, float]) -> Interval | None:
    return mean_interval([*figures.values()]) if figures else None


def _value(trajectory: Trajectory) -> float | None:
    return None if trajectory.score is None else trajectory.score.value


def _part(name: str, trajectory: Trajectory) -> float | None:
    return None if trajectory.score is None else trajectory.score.parts.get(name)


def figures(trajectories: Sequence[Trajectory]) -> dict[str, Interval]:
    """The figures that say how well a model does, as tables show them.

    Args:
        trajectories: of one policy on tasks of one set; at least one is scored.

    Returns:
        Name to interval: success; `pass@k` where tasks have k rollouts; the graded value and the
        named parts where they say more than success; what became of the calls.
    """
    summary = summarize(trajectories)
    k = rollouts_of(trajectories)
    found = {"success" if k == 1 else f"success (mean@{k})": summary.success}
    if k > 1:
        found[f"pass@{k}"] = pass_at_k(trajectories, k)
    scored = [t for t in trajectories if is_scored(t)]
    if any(_value(t) != float(t.success) for t in scored):
        found["value"] = summary.value
    found |= {
        name: interval
        for name, interval in summary.parts.items()
        if any(_part(name, t) != float(t.success) for t in scored)
    }
    if summary.tool_recall is not None:
        found["needed tools used"] = summary.tool_recall
    if summary.call_success is not None:
        found["calls without error"] = summary.call_success
    return found


def rollouts_of(trajectories: Iterable[Trajectory]) -> int:
    """The most scored rollouts of any task."""
    return max(Counter(key_of(t) for t in trajectories if is_scored(t)).values(), default=0)


def key_of(trajectory: Trajectory) -> TaskKey:
    """The task of a trajectory, among those of all task sets."""
    return TaskKey(trajectory.taskset, trajectory.task_id)


def success_by_task(trajectories: Iterable[Trajectory]) -> dict[TaskKey, float]:
    """Task to the share of its scored rollouts that succeeded; see `by_task`."""
    return by_task(trajectories, lambda t: None if t.score is None else float(t.score.success))


def success_of(trajectories: Iterable[Trajectory]) -> Interval:
    """Share of tasks solved (mean@k for k rollouts a task).

    Raises:
        InputError: no rollout was scored.
    """
    return mean_interval([*success_by_task(trajectories).values()])


def by_task(
    trajectories: Iterable[Trajectory], number: Callable[[Trajectory], float | None]
) -> dict[TaskKey, float]:
    """Average a number over the rollouts of each task.

    Args:
        trajectories: any; rollouts that broke are left out.
        number: of one trajectory; None where it has none.

    Returns:
        Task to mean, sorted by task; a task whose rollouts have no number is missing.
    """
    numbers: defaultdict[TaskKey, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        found = None if trajectory.error is not None else number(trajectory)
        if found is not None:
            numbers[key_of(trajectory)].append(found)
    return {key: sum(n) / len(n) for key, n in sorted(numbers.items())}


def pass_at_k(trajectories: Iterable[Trajectory], k: int) -> Interval:
    """Share of tasks that at least one of k rollouts solves; see `intervals.pass_at`.

    Args:
        trajectories: of one policy; a task with fewer than k scored rollouts is left out.
        k: how many rollouts are allowed.

    Raises:
        InputError: no task has k scored rollouts.
    """
    outcomes: defaultdict[TaskKey, list[bool]] = defaultdict(list)
    for t in trajectories:
        if is_scored(t):
            outcomes[key_of(t)].append(t.success)
    most = max(map(len, outcomes.values()), default=0)
    if not 1 <= k <= most:
        raise InputError(f"pass@{k} needs {max(k, 1)} scored rollouts of a task; there are {most}")
    return mean_interval(
        [pass_at(sum(won), len(won), k) for won in outcomes.values() if len(won) >= k]
    )


def latest(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Of rollouts that were run again, because they broke, the last one; the others as they are."""
    return list({(key_of(t), t.rollout): t for t in trajectories}.values())


def by_label(trajectories: Iterable[Trajectory], label: str) -> dict[str, list[Trajectory]]:
    """Sort trajectories by a label.

    Args:
        trajectories: any.
        label: a key of `Trajectory.labels`, such as "family"; or "taskset".

    Returns:
        Label value to trajectories, in order of appearance, and of the number that values begin
        with ("3 tools"); those without the label under "unlabelled". Groups without a scored
        rollout are left out.
    """
    groups: dict[str, list[Trajectory]] = {}
    for t in trajectories:
        value = (t.taskset or "tasks") if label == "taskset" else t.labels.get(label, NO_LABEL)
        groups.setdefault(value, []).append(t)
    ordered = sorted(groups, key=_leading_number)
    return {value: groups[value] for value in ordered if any(map(is_scored, groups[value]))}


def _leading_number(value: str) -> int:
    found = re.match("[0-9]{1,9}", value)
    return int(found[0]) if found else 0


def is_scored(trajectory: Trajectory) -> bool:
    """Whether a rollout says something about success: it did not break, and it was scored."""
    return trajectory.error is None and trajectory.score is not None
