"""The filter's three behaviours on trajectories made by hand."""

import pytest

from toolmaster.teacher.filters import explores, keep, plans, validates
from toolmaster.types import ActionKind, ErrorKind, Phase, Step, ToolCall, Trajectory

T, E = Phase.TRIAL, Phase.EXECUTION


def call(phase, name="get", error=None, thought="t", slip=False):
    return Step(
        text=f"<think>{thought}</think>...",
        phase=phase,
        action=ActionKind.CALL,
        call=ToolCall(name=name, arguments={}),
        observation="o",
        error=error,
        slip=slip,
    )


def answer(text="<think>t</think><answer>4</answer>"):
    return Step(text=text, phase=E, action=ActionKind.ANSWER)


def trajectory(*steps, protocol="trial"):
    return Trajectory(
        task_id="t", protocol=protocol, policy="p", prompt=[], tools=[], steps=list(steps)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>t</think><answer>4</answer>", True),
        ("<answer>4</answer>", False),
        ("<think></think><answer>4</answer>", False),
        ("Hm. <think>t</think><answer>4</answer>", False),
    ],
)
def test_plans(text, expected):
    assert plans(trajectory(call(T), answer(text))) is expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([call(T), call(E)], True),
        ([call(T, "a"), call(T, "b"), call(E, "a")], True),
        ([call(T, "a"), call(E, "a"), call(E, "b")], False),
        ([call(T, "a"), call(E, "b", slip=True), call(E, "a")], True),
        ([call(E)], False),
        ([answer()], False),
        ([call(T)], True),
        ([call(T, error=ErrorKind.TOOL_ERROR), call(E)], True),
        ([call(T, error=ErrorKind.NOT_EXECUTED), call(E)], True),
        ([call(T, error=ErrorKind.BUDGET_EXHAUSTED), call(E)], False),
        ([call(T, error=ErrorKind.INVALID_ARGUMENTS), call(E)], False),
        ([call(T, error=ErrorKind.NOT_PERMITTED), call(E)], False),
        ([call(T, error=ErrorKind.INVALID_ARGUMENTS), call(T), call(E)], True),
    ],
)
def test_explores(steps, expected):
    assert explores(trajectory(*steps)) is expected


@pytest.mark.parametrize("protocol", ["direct", "paper"])
def test_there_is_nothing_to_explore_without_a_trial(protocol):
    assert explores(trajectory(call(E), protocol=protocol))


@pytest.mark.parametrize(
    ("protocol", "steps", "expected"),
    [
        ("trial", [call(T), call(E), answer()], True),
        ("trial", [call(T, error=ErrorKind.TOOL_ERROR), call(T), call(E)], True),
        ("trial", [call(T, error=ErrorKind.TOOL_ERROR), call(E)], True),
        ("trial", [call(T), call(T, error=ErrorKind.TOOL_ERROR), answer()], False),
        ("trial", [call(T), call(E, error=ErrorKind.TOOL_ERROR), call(E)], False),
        ("trial", [call(T), call(E, error=ErrorKind.UNKNOWN_TOOL, slip=True), call(E)], True),
        ("trial", [call(T), call(E, error=ErrorKind.UNKNOWN_TOOL, slip=True), answer()], False),
        ("direct", [call(E, error=ErrorKind.TOOL_ERROR), call(E)], True),
        ("direct", [call(E), call(E, error=ErrorKind.TOOL_ERROR), answer()], False),
    ],
)
def test_validates(protocol, steps, expected):
    assert validates(trajectory(*steps, protocol=protocol)) is expected


def test_keep_wants_all_three():
    good = [call(T), call(E), answer()]
    assert keep(trajectory(*good))
    assert not keep(trajectory(*good[:2], answer("<answer>4</answer>")))
    assert not keep(trajectory(*good[1:]))
    assert not keep(trajectory(call(T, error=ErrorKind.TIMEOUT), answer()))
