"""Intervals worked by hand, and how often they hold the true mean."""

import random

import pytest

from toolmaster.errors import InputError
from toolmaster.evaluation.intervals import (
    Interval,
    difference_interval,
    mean_interval,
    pass_at,
)


def bounds(interval):
    return pytest.approx((interval.low, interval.high), abs=1e-4)


def test_shares_at_the_ends_are_wilsons():
    # 0 of 16: z^2 / (16 + z^2) = 3.8415 / 19.8415 = 0.1936.
    assert bounds(mean_interval([0.0] * 16)) == (0.0, 0.1936)
    assert bounds(mean_interval([1.0] * 16)) == (0.8064, 1.0)
    assert str(mean_interval([0.0] * 16)) == "0.00 [0.00, 0.19]"


def test_zeros_and_ones_give_wilsons_interval():
    # 50 of 100: 0.5 -+ 1.96 * sqrt(0.25 / 100 + 3.8415 / 40000) / 1.038415 = 0.5 -+ 0.0962.
    assert bounds(mean_interval([0.0, 1.0] * 50)) == (0.4038, 0.5962)
    # 1 of 4: (0.25 + 0.4802 -+ 1.96 * sqrt(0.046875 + 0.060023)) / 1.960375.
    assert bounds(mean_interval([1.0, 0.0, 0.0, 0.0])) == (0.0456, 0.6994)


def test_one_task_says_nothing_about_others():
    interval = mean_interval([1.0])
    assert (interval.mean, interval.low, interval.high, interval.count) == (1.0, None, None, 1)
    assert str(interval) == "1.00 [one task]"
    assert str(difference_interval([0.5])) == "0.50 [one task]"


def test_means_of_rollouts_count_as_more_tasks_than_zeros_and_ones():
    # 20 tasks, half at 0.25, half at 0.75: variance 1/16 where zeros and ones have 1/4. Counted
    # 4 * (1 - 4.8415 / 38) = 3.4904 times: Wilson of 69.81 tasks, 0.5 -+ 0.1142.
    interval = mean_interval([0.25, 0.75] * 10)
    assert bounds(interval) == (0.3858, 0.6142)
    assert interval.count == 20


def test_equal_values_leave_room_for_other_tasks():
    # All 16 at 0.5: up to 0.1936 of the tasks may lie at 0, or at 1.
    assert bounds(mean_interval([0.5] * 16)) == (0.4032, 0.5968)
    rounded = mean_interval([0.1 + 0.2, 0.3] * 8)  # their difference is rounding
    assert bounds(rounded) == (0.8064 * 0.3, 0.8064 * 0.3 + 0.1936)


def test_differences_are_stretched_shares():
    assert bounds(difference_interval([0.0] * 16)) == (-0.1936, 0.1936)
    assert bounds(difference_interval([1.0] * 16)) == (1 - 2 * 0.1936, 1.0)
    # +1 and -1 in turn, 100 tasks: twice the half width of 50 of 100.
    found = difference_interval([1.0, -1.0] * 50)
    assert bounds(found) == (-0.1924, 0.1924)
    assert found.mean == 0.0


def test_nothing_has_no_mean():
    for average in (mean_interval, difference_interval):
        with pytest.raises(InputError, match="at least one task"):
            average([])


@pytest.mark.parametrize("tasks", [3, 10, 50])
@pytest.mark.parametrize("rollouts", [1, 4])
@pytest.mark.parametrize("shape", [(0.3, 3.0), (0.5, 0.5), (5.0, 5.0)])
def test_intervals_hold_the_true_mean(tasks, rollouts, shape):
    """Tasks of unlike difficulty: rare and common successes, all alike or all or nothing."""
    rng = random.Random(f"{tasks} {rollouts} {shape}")
    true, held, repeats = shape[0] / sum(shape), 0, 300
    for _ in range(repeats):
        values = [
            sum(rng.random() < chance for _ in range(rollouts)) / rollouts
            for chance in (rng.betavariate(*shape) for _ in range(tasks))
        ]
        interval = mean_interval(values)
        assert 0 <= interval.low <= interval.mean <= interval.high <= 1
        held += interval.low <= true <= interval.high
    assert held / repeats > 0.9


def test_graded_values_of_three_tasks_do_not_pretend_to_know():
    rng = random.Random(0)
    held = 0
    for _ in range(300):
        interval = mean_interval([rng.betavariate(8, 2) for _ in range(3)])
        held += interval.low <= 0.8 <= interval.high
    assert held / 300 > 0.93  # a bootstrap: 0.74


@pytest.mark.parametrize(
    ("successes", "rollouts", "k", "right"),
    [(0, 4, 2, 0.0), (4, 4, 1, 1.0), (1, 4, 1, 0.25), (1, 4, 2, 0.5), (2, 4, 2, 1 - 1 / 6)],
)
def test_pass_at_by_hand(successes, rollouts, k, right):
    assert pass_at(successes, rollouts, k) == pytest.approx(right)


def test_pass_at_needs_enough_rollouts():
    with pytest.raises(InputError, match="pass@3 needs at least 3 rollouts a task, not 2"):
        pass_at(1, 2, 3)
    with pytest.raises(InputError, match="pass@0 needs at least 1"):
        pass_at(1, 2, 0)


def test_an_interval_prints_as_a_share():
    assert str(Interval(mean=0.312, low=0.27, high=0.349, count=9)) == "0.31 [0.27, 0.35]"
