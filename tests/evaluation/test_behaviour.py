"""What is read from one trajectory."""

import pytest
from made_trajectories import answered, call, invalid, rollout, trial

from toolmaster.evaluation.behaviour import (
    call_success,
    execution_errors,
    recoveries,
    tool_recall,
    useful_trials,
)
from toolmaster.evaluation.metrics import summarize
from toolmaster.types import ErrorKind, Phase


def test_useful_trials_counts_news_only():
    steps = [
        trial("add", {"n": 1}, "1"),  # new: first success
        trial("add", {"n": 1}, "2"),  # repeats a call
        trial("add", {"n": 2}, "1"),  # an observation already known
        trial("add", {"n": 3}, "3"),  # new: another observation
        trial("add", {"n": 9}, "error: big", ErrorKind.TOOL_ERROR),  # new: first of its kind
        trial("add", {"n": 8}, "error: huge", ErrorKind.TOOL_ERROR),  # the same kind
        trial("add", {}, "error: n?", ErrorKind.INVALID_ARGUMENTS),  # new: another kind
        trial("sub", {"n": 1}, "1"),  # new: another tool
        trial("mul", {"n": 1}, "error: used up", ErrorKind.BUDGET_EXHAUSTED),  # never
        invalid(Phase.TRIAL),
        call("div", {"n": 1}, "1"),  # no trial
    ]
    assert useful_trials(rollout(steps=steps)) == 5
    summary = summarize([rollout(steps=steps)])
    assert (summary.trial_calls, summary.execution_calls, summary.calls) == (9, 1, 10)
    assert (summary.useful_trials, summary.unproductive_trials) == (5, 4)


def test_argument_order_does_not_make_a_call_new():
    first = trial("add", {"a": 1, "b": 2}, "3")
    again = trial("add", {"b": 2, "a": 1}, "other")
    assert useful_trials(rollout(steps=[first, again])) == 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([trial("a", error=ErrorKind.TOOL_ERROR), call("a")], (1, 1)),
        ([trial("a", error=ErrorKind.TOOL_ERROR), call("b")], (1, 0)),
        ([trial("a"), call("a", error=ErrorKind.TIMEOUT)], (1, 0)),
        ([trial("x", error=ErrorKind.UNKNOWN_TOOL), trial("a")], (1, 1)),
        ([trial("x", error=ErrorKind.UNKNOWN_TOOL), answered()], (1, 0)),
        ([invalid(), answered()], (1, 1)),
        ([invalid(), invalid()], (2, 0)),
        ([trial("a", error=ErrorKind.NOT_EXECUTED), call("a")], (0, 0)),
        ([trial("a", error=ErrorKind.BUDGET_EXHAUSTED)], (0, 0)),
    ],
)
def test_recoveries(steps, expected):
    assert recoveries(rollout(steps=steps)) == expected


def test_calls_and_needed_tools():
    steps = [call("a"), call("b", error=ErrorKind.TOOL_ERROR), trial("c"), call("a"), invalid()]
    made = rollout(steps=steps, needed=["a", "b", "c", "d"])
    assert call_success(made) == 0.75
    assert tool_recall(made) == 0.5
    assert execution_errors(made) == 2
    assert (call_success(rollout()), tool_recall(rollout(steps=steps))) == (None, None)
