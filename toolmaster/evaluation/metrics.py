"""Pure functions from trajectories to numbers.

Tasks are the unit of uncertainty: several rollouts of one task are averaged first, and intervals
speak of tasks. A rollout that broke (`Trajectory.error`) says nothing about the model: it is
counted apart, in `Summary.broken`.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import ConfigDict

from toolmaster.errors import InputError
from toolmaster.types import (
    FORMAT_ERRORS,
    ActionKind,
    ErrorKind,
    Phase,
    Record,
    Step,
    ToolCall,
    Trajectory,
)

NO_LABEL = "unlabelled"
"""Where `by_label` puts trajectories that lack the label."""

NOT_MISTAKES = frozenset({ErrorKind.BUDGET_EXHAUSTED, ErrorKind.NOT_EXECUTED})
"""Refusals that a correct call can meet; there is nothing in them to recover from."""


class Interval(Record):
    """A mean with its 95% interval."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float | None
    """None for a single task, which tells nothing of other tasks."""
    high: float | None

    def __str__(self) -> str:
        """`0.31 [0.27, 0.35]`; `0.31 [one task]` where there is no interval."""
        if self.low is None or self.high is None:
            return f"{self.mean:.2f} [one task]"
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Summary(Record):
    """What a set of trajectories amounts to. Means are over trajectories unless said otherwise."""

    model_config = ConfigDict(frozen=True)

    tasks: int
    """Distinct task ids."""
    rollouts: int
    """Trajectories that did not break."""
    broken: int = 0
    """Rollouts that broke by no doing of the model; nothing else here counts them."""
    success: Interval
    """Share of tasks solved; a task's rollouts are averaged first."""
    value: Interval
    """Mean graded score, likewise."""
    parts: dict[str, Interval]
    """Each named figure of the scores, likewise; a task that does not have it is left out."""
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
    """Error kind to its mean number per trajectory, most frequent first."""
    execution_errors: float
    """Mean number of turns of the execution phase that were answered with an error."""
    completion_tokens: float
    seconds: float
    stop_reasons: dict[str, int]
    """Stop reason to the number of trajectories; "none" for rollouts that broke before one."""


class Recoveries(NamedTuple):
    """How many mistakes a trajectory holds and how many of them were mended."""

    mistakes: int
    mended: int


Z = 1.959964
"""The 97.5% quantile of the normal distribution."""


def share(values: Sequence[float]) -> Interval:
    """The mean of values in [0, 1] and its 95% interval.

    Where every value is 0 or 1, or all are equal, the interval is Wilson's (1927): it is honest at
    0% and 100%, where resampling would find no spread. Otherwise it is the bootstrap's.

    Args:
        values: one number per task, each in [0, 1].

    Returns:
        The mean and its interval; of one value no interval.

    Raises:
        InputError: there are no values.

    Example:
        >>> print(share([0.0] * 16))
        0.00 [0.00, 0.19]
    """
    if len(values) == 1:
        return Interval(mean=values[0], low=None, high=None)
    if len(set(values)) > 1 and not set(values) <= {0.0, 1.0}:
        return bootstrap(values)
    if not values:
        return bootstrap(values)
    count, mean = len(values), sum(values) / len(values)
    middle = (mean + Z**2 / (2 * count)) / (1 + Z**2 / count)
    spread = mean * (1 - mean) / count + Z**2 / (4 * count**2)
    half = Z * math.sqrt(spread) / (1 + Z**2 / count)
    return Interval(mean=mean, low=max(middle - half, 0.0), high=min(middle + half, 1.0))


def bootstrap(values: Sequence[float], *, resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean of values and its 95% percentile bootstrap interval.

    Resampling finds no spread where all values are equal; `share` and `difference` know better.

    Args:
        values: one number per task.
        resamples: how often N values are drawn, with replacement, from the N given.
        seed: the same seed gives the same interval.

    Returns:
        The mean and the 2.5% and 97.5% percentiles of the resampled means.

    Raises:
        InputError: there are no values.
    """
    if not values:
        raise InputError("no values to average: expected at least one trajectory, got none")
    array = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(array), size=(resamples, len(array)))
    low, high = np.percentile(array[draws].mean(axis=1), [2.5, 97.5])
    return Interval(mean=float(array.mean()), low=float(low), high=float(high))


def paired_difference(a: Sequence[Trajectory], b: Sequence[Trajectory]) -> Interval:
    """Success of `b` minus success of `a`, over the tasks that both have.

    Args:
        a: the baseline's trajectories.
        b: the trajectories compared with it.

    Returns:
        The mean difference per task and its 95% interval, in [-1, 1]; above 0 where `b` is better.

    Raises:
        InputError: no task id is in both.
    """
    success_a, success_b = success_by_task(a), success_by_task(b)
    common = sorted(success_a.keys() & success_b.keys())
    if not common:
        raise InputError(
            f"no task in common: {len(success_a)} tasks on one side, {len(success_b)} on the "
            "other; compare runs of the same task ids"
        )
    return difference([success_b[task_id] - success_a[task_id] for task_id in common])


def difference(values: Sequence[float]) -> Interval:
    """The mean of differences in [-1, 1] and its 95% interval.

    It is the bootstrap's, except where all differences are equal: then up to z^2 / (n + z^2) of
    other tasks may differ from these n, as in Wilson's interval at 0.

    Args:
        values: one difference per task.

    Raises:
        InputError: there are no values.
    """
    if len(values) == 1:
        return Interval(mean=values[0], low=None, high=None)
    if len(set(values)) != 1:
        return bootstrap(values)
    mean, half = values[0], Z**2 / (len(values) + Z**2)
    return Interval(mean=mean, low=max(mean - half, -1.0), high=min(mean + half, 1.0))


def pass_at(successes: int, rollouts: int, k: int) -> float:
    """Probability that at least one of k rollouts succeeds, estimated without bias.

    Source: Chen et al., arXiv 2107.03374, equation 1: 1 - C(n - c, k) / C(n, k).

    Args:
        successes: c, how many of a task's rollouts succeeded.
        rollouts: n, how many there were; at least k.
        k: how many tries are allowed.

    Raises:
        InputError: there are fewer rollouts than k.

    Example:
        >>> pass_at(1, 4, 2)
        0.5
    """
    if not 1 <= k <= rollouts:
        raise InputError(f"pass@{k} needs at least {k} rollouts a task, received {rollouts}")
    return 1 - math.comb(rollouts - successes, k) / math.comb(rollouts, k)


def success_by_task(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """Task id to the share of its rollouts that succeeded, sorted by task id; broken ones apart."""
    return by_task(trajectories, lambda t: float(t.success))


def by_task(
    trajectories: Iterable[Trajectory], number: Callable[[Trajectory], float | None]
) -> dict[str, float]:
    """Task id to the mean of a number over its rollouts, sorted by task id.

    Args:
        trajectories: any; rollouts that broke are left out.
        number: of one trajectory; None where it has none.
    """
    numbers: defaultdict[str, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        found = None if trajectory.error is not None else number(trajectory)
        if found is not None:
            numbers[trajectory.task_id].append(found)
    return {task_id: sum(n) / len(n) for task_id, n in sorted(numbers.items())}


def latest(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Of rollouts that were run again, because they broke, the last one; the others as they are."""
    return list({(t.task_id, t.rollout): t for t in trajectories}.values())


def summarize(trajectories: Sequence[Trajectory]) -> Summary:
    """Everything this module knows about a set of trajectories.

    Args:
        trajectories: of one policy, any number of rollouts per task.

    Returns:
        The summary; JSON with `model_dump_json`.

    Raises:
        InputError: there are no trajectories, or all rollouts broke.
    """
    count = len(trajectories)
    trajectories = [t for t in trajectories if t.error is None]
    if not trajectories:
        raise InputError(f"nothing to measure: {count} rollouts, all of them broken")
    successes = success_by_task(trajectories)
    names = dict.fromkeys(name for t in trajectories if t.score for name in t.score.parts)
    parts = {
        name: share([*by_task(trajectories, lambda t, n=name: _part(t, n)).values()])  # type: ignore[misc]
        for name in names
    }
    values = by_task(trajectories, lambda t: t.score.value if t.score else 0.0)

    def mean(number: Callable[[Trajectory], float]) -> float:
        return sum(map(number, trajectories)) / len(trajectories)

    trials = mean(lambda t: len(t.calls(Phase.TRIAL)))
    useful = mean(useful_trials)
    recovered = [recoveries(t) for t in trajectories]
    mistakes = sum(r.mistakes for r in recovered)
    kinds = Counter(str(s.error) for t in trajectories for s in t.steps if s.error is not None)
    return Summary(
        tasks=len(successes),
        rollouts=len(trajectories),
        broken=count - len(trajectories),
        success=share(list(successes.values())),
        value=share(list(values.values())),
        parts=parts,
        format_ok=mean(lambda t: t.format_ok),
        calls=mean(lambda t: len(t.calls())),
        trial_calls=trials,
        execution_calls=mean(lambda t: len(t.calls(Phase.EXECUTION))),
        useful_trials=useful,
        unproductive_trials=trials - useful,
        recovery=sum(r.mended for r in recovered) / mistakes if mistakes else None,
        errors={kind: count / len(trajectories) for kind, count in kinds.most_common()},
        execution_errors=mean(_execution_errors),
        completion_tokens=mean(lambda t: t.completion_tokens),
        seconds=mean(lambda t: t.seconds),
        stop_reasons=dict(
            Counter(str(t.stop_reason or "none") for t in trajectories).most_common()
        ),
    )


def _part(trajectory: Trajectory, name: str) -> float | None:
    return None if trajectory.score is None else trajectory.score.parts.get(name)


def by_label(trajectories: Sequence[Trajectory], label: str) -> dict[str, Summary]:
    """One summary for each value of a label.

    Args:
        trajectories: of one policy.
        label: a key of `Trajectory.labels`, such as "split" or "family".

    Returns:
        Label value to summary, sorted by value; trajectories without the label under "unlabelled".
    """
    groups: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        groups[trajectory.labels.get(label, NO_LABEL)].append(trajectory)
    return {value: summarize(group) for value, group in sorted(groups.items()) if _whole(group)}


def by_taskset(trajectories: Sequence[Trajectory]) -> dict[str, Summary]:
    """One summary for each task set, in the order in which they come."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.taskset or "tasks", []).append(trajectory)
    return {label: summarize(group) for label, group in groups.items() if _whole(group)}


def _whole(trajectories: Iterable[Trajectory]) -> bool:
    return any(t.error is None for t in trajectories)


def useful_trials(trajectory: Trajectory) -> int:
    """How many trial calls told something new.

    A trial call is useful when it does not repeat an earlier trial call (same tool, same arguments)
    and either succeeds with an observation that this tool has not given before, or fails with an
    error kind that this tool has not shown before. A call refused for lack of budget never is.

    Args:
        trajectory: any trajectory; without a trial phase the count is 0.

    Returns:
        The count, at most the number of trial calls.
    """
    calls: set[tuple[str, str]] = set()
    news: set[tuple[str, str]] = set()
    useful = 0
    for step in trajectory.calls(Phase.TRIAL):
        if step.call is None or step.error is ErrorKind.BUDGET_EXHAUSTED:
            continue
        name = step.call.name
        call = (name, json.dumps(step.call.arguments, sort_keys=True))
        told = (name, f"ok {step.observation}" if step.error is None else f"error {step.error}")
        useful += call not in calls and told not in news
        calls.add(call)
        news.add(told)
    return useful


def recoveries(trajectory: Trajectory) -> Recoveries:
    """How many mistakes were made and how many of them were mended later in the same trajectory.

    A mistake is any error but `budget_exhausted` and `not_executed`. A format error is mended by
    any later well-formed turn, an unknown tool by any later successful call, every other error by a
    later successful call of the same tool. Later means the same phase or the one after it.

    Args:
        trajectory: any trajectory.

    Returns:
        The number of mistakes and how many of them were mended.
    """
    mistakes = mended = 0
    for index, step in enumerate(trajectory.steps):
        if step.error is None or step.error in NOT_MISTAKES:
            continue
        mistakes += 1
        mended += any(
            _mends(later, step.error, step.call) for later in trajectory.steps[index + 1 :]
        )
    return Recoveries(mistakes, mended)


def _mends(later: Step, error: ErrorKind, failed: ToolCall | None) -> bool:
    """Whether a later turn makes up for an error of an earlier one."""
    if error in FORMAT_ERRORS:
        return later.action is not ActionKind.INVALID
    if later.action is not ActionKind.CALL or later.call is None or later.error is not None:
        return False
    return error is ErrorKind.UNKNOWN_TOOL or (
        failed is not None and later.call.name == failed.name
    )


def _execution_errors(trajectory: Trajectory) -> int:
    return sum(s.phase is Phase.EXECUTION and s.error is not None for s in trajectory.steps)
