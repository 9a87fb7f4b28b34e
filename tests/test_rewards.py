"""Rewards worked by hand, and that none rises by calling more or by calling nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolmaster.rewards import REWARDS, call_cost, correctness, format_reward, total
from toolmaster.types import (
    ActionKind,
    ErrorKind,
    Phase,
    Score,
    Step,
    StopReason,
    ToolCall,
    Trajectory,
)

positive = st.floats(0.001, 10)


def trajectory(calls, *, success, stop=StopReason.ANSWERED, errors=()):
    call = ToolCall(name="get", arguments={})
    steps = [
        Step(text="c", phase=Phase.EXECUTION, action=ActionKind.CALL, call=call, observation="4")
        for _ in range(calls)
    ]
    steps += [
        Step(text="e", phase=Phase.EXECUTION, action=ActionKind.INVALID, error=error)
        for error in errors
    ]
    score = Score.of(success, answer=success, state=True)
    return Trajectory(
        task_id="t",
        protocol="direct",
        policy="p",
        prompt=[],
        tools=[],
        steps=steps,
        stop_reason=stop,
        score=score,
    )


@pytest.mark.parametrize(
    ("stop", "errors", "expected"),
    [
        (StopReason.ANSWERED, [], 1.0),
        (StopReason.MAX_TURNS, [], 0.0),
        (StopReason.ANSWERED, [ErrorKind.MALFORMED_JSON], 0.0),
        (StopReason.ANSWERED, [ErrorKind.WRONG_PHASE], 0.0),
        (StopReason.ANSWERED, [ErrorKind.TOOL_ERROR, ErrorKind.INVALID_ARGUMENTS], 1.0),
    ],
)
def test_format(stop, errors, expected):
    assert format_reward(trajectory(1, success=False, stop=stop, errors=errors)) == expected


def test_correctness():
    assert correctness(trajectory(1, success=True)) == 1.0
    assert correctness(trajectory(1, success=False)) == 0.0
    assert correctness(trajectory(1, success=True).model_copy(update={"score": None})) == 0.0


def test_call_cost():
    assert call_cost(trajectory(3, success=True)) == -3.0
    assert call_cost(trajectory(3, success=False)) == 0.0
    assert call_cost(trajectory(0, success=True)) == 0.0


def test_total():
    weights = {"format": 0.5, "correctness": 1.0, "call_cost": 0.1}
    assert total(trajectory(3, success=True), weights) == pytest.approx(0.5 + 1.0 - 0.3)
    assert total(trajectory(3, success=False), weights) == pytest.approx(0.5)
    assert total(trajectory(3, success=True), {}) == 0


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("success", [True, False])
@given(calls=st.integers(0, 12), more=st.integers(1, 12))
def test_calling_more_never_raises_a_reward(name, success, calls, more):
    reward = REWARDS[name]
    few, many = (trajectory(n, success=success) for n in (calls, calls + more))
    assert reward(many) <= reward(few)


@given(st.fixed_dictionaries(dict.fromkeys(REWARDS, positive)), st.integers(1, 12))
def test_failing_without_calls_never_beats_failing_with_calls(weights, calls):
    idle, honest = (trajectory(n, success=False) for n in (0, calls))
    assert total(idle, weights) <= total(honest, weights)
