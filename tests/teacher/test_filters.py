"""The filter's three behaviours on trajectories made by hand."""

import pytest

from toolmaster.teacher.filters import (
    explores,
    mark_slips,
    plans,
    reason_against,
    validates,
)
from toolmaster.teacher.settings import Behaviours
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


def trajectory(*steps, protocol="trial", **fields):
    made = {"task_id": "t", "policy": "p", "prompt": [], "tools": [], "steps": list(steps)}
    return Trajectory(protocol=protocol, **made, **fields)


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


def test_slips_are_what_a_student_should_not_learn_to_write():
    steps = [
        call(T, error=ErrorKind.TOOL_ERROR),
        call(T, error=ErrorKind.UNKNOWN_TOOL),
        Step(text="?", phase=T, action=ActionKind.INVALID, error=ErrorKind.NO_ACTION),
        call(E, error=ErrorKind.INVALID_ARGUMENTS),
        call(E),
    ]
    for protocol, slips in (("trial", [0, 1, 1, 1, 0]), ("paper", [0, 1, 1, 0, 0])):
        made = trajectory(*(step.model_copy() for step in steps), protocol=protocol)
        mark_slips(made)
        assert [step.slip for step in made.steps] == slips  # the paper's trial cannot be told apart


GOOD = (call(T), call(E))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (trajectory(*GOOD, answer="4"), None),
        (trajectory(*GOOD, answer=" "), "no answer: max_turns"),
        (trajectory(*GOOD, answer=None), "no answer: max_turns"),
        (
            trajectory(*GOOD, answer="4", score={"value": 0, "success": False}),
            "wrong answer or end state",
        ),
        (trajectory(call(T), answer("x"), answer="4"), "no planning"),
        (trajectory(call(T), call(E, "cost"), answer="4"), "no exploration"),
        (trajectory(*GOOD, call(E, error=ErrorKind.TIMEOUT), answer="4"), "no validation"),
        (trajectory(call(T), call(E, error=ErrorKind.TIMEOUT), GOOD[1], answer="4"), None),
    ],
)
def test_the_reason_against_a_candidate(made, reason):
    made.stop_reason = "max_turns"
    mark_slips(made)
    found = reason_against(made, Behaviours(), rules=True)
    assert found is reason is None or found.startswith(reason)
    if reason is not None and reason.startswith("no ") and "answer" not in reason:
        assert reason_against(made, Behaviours(), rules=False) is None


def test_without_self_correction_no_error_is_shown():
    made = trajectory(call(T, error=ErrorKind.TOOL_ERROR), *GOOD, answer="4")
    assert reason_against(made, Behaviours(), rules=True) is None
    plain = Behaviours(self_correction=False)
    assert reason_against(made, plain, rules=True) == "an error, where none is to be shown"
