"""How a model worked in one trajectory, and why it failed."""

import pytest
from made_trajectories import answered, call, invalid, rollout, trial

from toolmaster.evaluation.behaviour import (
    ErrorClass,
    call_success,
    error_class,
    execution_errors,
    recovery,
    tool_recall,
    trial_calls,
    useful_trials,
)
from toolmaster.types import ErrorKind, Phase


def test_useful_trials_counts_news_only():
    steps = [
        trial("add", {"n": 1}, "1"),  # new: first success
        trial("add", {"n": 1}, "1"),  # repeats a call
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
    made = rollout(steps=steps)
    assert (useful_trials(made), trial_calls(made)) == (5, 9)


def test_without_a_trial_phase_nothing_is_said_of_trials():
    assert (useful_trials(rollout(steps=[call()])), trial_calls(rollout())) == (None, None)
    assert (useful_trials(rollout(steps=[invalid(Phase.TRIAL)]))) == 0


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([trial("a", error=ErrorKind.TOOL_ERROR), call("a")], 1.0),
        ([trial("a", error=ErrorKind.TOOL_ERROR), call("b")], 0.0),
        ([trial("a"), call("a", error=ErrorKind.TIMEOUT)], 0.0),
        ([trial("x", error=ErrorKind.UNKNOWN_TOOL), trial("a")], 1.0),
        ([trial("x", error=ErrorKind.UNKNOWN_TOOL), answered()], 0.0),
        ([invalid(), answered()], 1.0),
        ([invalid(), invalid()], 0.0),
        ([invalid(), answered(), trial("a", error=ErrorKind.TOOL_ERROR)], 0.5),
        ([trial("a", error=ErrorKind.NOT_EXECUTED), call("a")], None),
        ([trial("a", error=ErrorKind.BUDGET_EXHAUSTED)], None),
    ],
)
def test_recovery(steps, expected):
    assert recovery(rollout(steps=steps)) == expected


def test_calls_and_needed_tools():
    steps = [call("a"), call("b", error=ErrorKind.TOOL_ERROR), trial("c"), call("a"), invalid()]
    made = rollout(steps=steps, needed=["a", "b", "c", "d"])
    assert call_success(made) == 0.75
    assert tool_recall(made) == 0.5
    assert execution_errors(made) == 2
    assert (call_success(rollout()), tool_recall(rollout(steps=steps))) == (None, None)


FAILED = call("b", error=ErrorKind.TOOL_ERROR)


@pytest.mark.parametrize(
    ("steps", "needed", "expected"),
    [
        ([call("a"), call("b")], ["a", "b"], ErrorClass.REASONING_ERROR),
        ([call("a")], ["a", "b"], ErrorClass.INCOMPLETE_CHAIN),
        ([call("a"), FAILED], ["a", "b"], ErrorClass.EXECUTION_FAILURE),
        ([call("a"), FAILED, call("b")], ["a", "b"], ErrorClass.REASONING_ERROR),
        ([FAILED], ["a", "b"], ErrorClass.EXECUTION_FAILURE),
        ([call("a"), FAILED], ["a"], ErrorClass.REASONING_ERROR),  # b was of no use anyway
        ([], [], ErrorClass.INCOMPLETE_CHAIN),
        ([call("a")], [], ErrorClass.REASONING_ERROR),
        ([call("a"), FAILED], [], ErrorClass.EXECUTION_FAILURE),
    ],
)
def test_error_class(steps, needed, expected):
    assert error_class(rollout(success=False, steps=steps, needed=needed)) is expected


def test_no_answer_is_an_incomplete_chain():
    unanswered = rollout(success=False, steps=[call("a")], answer=None, needed=["a"])
    assert error_class(unanswered) is ErrorClass.INCOMPLETE_CHAIN


def test_what_has_no_error_class():
    assert error_class(rollout(success=True)) is None
    assert error_class(rollout(success=False, error="the endpoint is down")) is None
    assert error_class(rollout(score=None)) is None
