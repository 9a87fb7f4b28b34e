"""Means over tasks with honest 95% intervals, paired differences, and pass@k.

One method serves all of them, so that figures of one table can be compared: Wilson's score interval
(1927) with an effective number of tasks (Dean and Pagano, Journal of Survey Statistics and
Methodology, 2015). In `tests/evaluation/test_intervals.py` it covers the true mean about 95% of the
time, at worst 86%, where the bootstrap falls to 13%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import ConfigDict

from toolmaster.errors import InputError
from toolmaster.types import Record

Z = 1.959964
"""The 97.5% quantile of the normal distribution."""
EQUAL = 1e-12
"""A smaller variance is taken for a rounding error."""


class Interval(Record):
    """A mean over tasks with its 95% interval."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float | None
    """None for a single task, which says nothing about other tasks."""
    high: float | None
    count: int
    """Number of averaged values, usually tasks."""

    def __str__(self) -> str:
        """Return `0.31 [0.27, 0.35]`, or `0.31 [one task]` without an interval."""
        if self.low is None or self.high is None:
            return f"{self.mean:.2f} [one task]"
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of numbers in [0, 1], one per task, with its 95% interval.

    For zeros and ones this is Wilson's interval. Graded values, and means of several rollouts, vary
    less than zeros and ones of the same mean: the effective number of tasks is larger by the ratio
    of the two variances, with a correction for the error of a variance estimated from few tasks. If
    all values are equal, up to z^2 / (n + z^2) of all tasks are assumed to have any other value.

    A single value has no interval.

    Raises:
        InputError: there are no values.

    Example:
        >>> print(mean_interval([0.0] * 16))
        0.00 [0.00, 0.19]
    """
    count = len(values)
    if not count:
        raise InputError("nothing to average: expected at least one task, received none")
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean=mean, low=None, high=None, count=1)
    variance = math.fsum((value - mean) ** 2 for value in values) / count
    if variance < EQUAL:
        others = Z**2 / (count + Z**2)
        low = (1 - others) * mean
        high = low + others
    else:
        gain = mean * (1 - mean) / variance * max(0.0, 1 - (Z**2 + 1) / (2 * (count - 1)))
        low, high = _wilson(mean, count * max(1.0, gain))
    return Interval(mean=mean, low=max(low, 0.0), high=min(high, 1.0), count=count)


def _wilson(mean: float, count: float) -> tuple[float, float]:
    middle = mean + Z**2 / (2 * count)
    half = Z * math.sqrt(mean * (1 - mean) / count + Z**2 / (4 * count**2))
    return (middle - half) / (1 + Z**2 / count), (middle + half) / (1 + Z**2 / count)


def difference_interval(differences: Sequence[float]) -> Interval:
    """Return the mean of differences in [-1, 1], one per task, with its 95% interval.

    It is `mean_interval` stretched to [-1, 1].

    Raises:
        InputError: there are no differences.

    Example:
        >>> print(difference_interval([0.0] * 16))  # equal on 16 tasks; others may differ
        0.00 [-0.19, 0.19]
    """
    half = mean_interval([(1 + difference) / 2 for difference in differences])
    return Interval(
        mean=math.fsum(differences) / len(differences),
        low=None if half.low is None else 2 * half.low - 1,
        high=None if half.high is None else 2 * half.high - 1,
        count=half.count,
    )


def pass_at(successes: int, rollouts: int, k: int) -> float:
    """Return the unbiased estimate of the probability that one of k rollouts succeeds.

    Source: Chen et al., arXiv 2107.03374, equation 1: 1 - C(n - c, k) / C(n, k).

    Args:
        successes: c, the number of a task's rollouts that succeeded.
        rollouts: n, the number of its rollouts; at least k.
        k: the number of rollouts allowed; at least 1.

    Raises:
        InputError: k is below 1, or there are fewer rollouts than k.

    Example:
        >>> pass_at(1, 4, 2)
        0.5
    """
    if not 1 <= k <= rollouts:
        raise InputError(f"pass@{k} needs at least {max(k, 1)} rollouts a task, not {rollouts}")
    return 1 - math.comb(rollouts - successes, k) / math.comb(rollouts, k)
