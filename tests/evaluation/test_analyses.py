"""The paper's analyses, worked by hand."""

import pytest

from toolmaster.evaluation.analyses import (
    ErrorClass,
    by_familiarity,
    error_class,
    error_classes,
    familiarity,
    success_by_calls,
)
from toolmaster.types import ActionKind, ErrorKind, Phase, Score, Step, ToolCall, Trajectory


def call(name, error=None):
    return Step(
        text="...",
        phase=Phase.EXECUTION,
        action=ActionKind.CALL,
        call=ToolCall(name=name, arguments={}),
        observation="ok",
        error=error,
    )


def tool(name, description="", **parameters):
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    schema = {"type": "object", "properties": properties}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


def rollout(task_id="t", success=False, steps=(), tools=(), answer="4", **fields):
    return Trajectory(
        task_id=task_id,
        protocol="direct",
        policy="p",
        prompt=[],
        tools=list(tools),
        steps=list(steps),
        answer=answer,
        score=Score.of(success, answer=success, state=success),
        **fields,
    )


def test_success_by_calls():
    group = [rollout(steps=[call("a")] * n, success=n > 1) for n in (0, 1, 2, 2, 8, 11)]
    found = success_by_calls(group)
    assert {key: (share.count, share.share.mean) for key, share in found.items()} == {
        "0": (1, 0.0),
        "1": (1, 0.0),
        "2": (2, 1.0),
        "8+": (2, 1.0),
    }


FAILED = call("b", ErrorKind.TOOL_ERROR)


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
    assert error_class(rollout(steps=steps), needed) is expected


def test_no_answer_is_an_incomplete_chain():
    unanswered = rollout(steps=[call("a")], answer=None)
    assert error_class(unanswered, ["a"]) is ErrorClass.INCOMPLETE_CHAIN


def test_what_has_no_error_class():
    assert error_class(rollout(success=True)) is None
    assert error_class(rollout(error="the endpoint is down")) is None


def test_error_classes_know_what_each_task_needs():
    group = [rollout("1", steps=[call("a")]), rollout("2", steps=[call("a")]), rollout("3", True)]
    assert error_classes(group, {"1": ["a", "b"]}) == {
        ErrorClass.INCOMPLETE_CHAIN: 1,
        ErrorClass.EXECUTION_FAILURE: 0,
        ErrorClass.REASONING_ERROR: 1,
    }


def test_familiarity_is_one_for_the_same_document_and_zero_without_a_common_word():
    price = tool("get_price", "Price of a product.", product="its name")
    same, other = familiarity([price, tool("wind", "Kites.")], [price, tool("ship", "Parcels")])
    assert same == pytest.approx(1.0)
    assert other == 0.0
    assert familiarity([price], []) == [0.0]


def test_familiarity_splits_names_and_prefers_rare_words():
    snake, camel, common = familiarity(
        [tool("tide_table"), tool("tideTable"), tool("get_forecast")],
        [tool("tide_table"), *(tool(f"get_{word}") for word in ("price", "ship", "wind"))],
    )
    assert snake == camel == pytest.approx(1.0)
    # Of two words "get" is shared, and it is in 4 of 7 documents: idf 1 + ln(8/5) and 1 + ln(8/2).
    assert common == pytest.approx(1.47 * 1.47 / (1.47**2 + 2.386**2), abs=0.02)


def test_by_familiarity():
    known, near, far = tool("get_price"), tool("get_weight"), tool("fly_kite")
    group = [
        rollout("1", True, [call("get_price")] * 2, [known]),
        rollout("2", True, [call("get_weight"), call("get_weight", ErrorKind.TOOL_ERROR)], [near]),
        rollout("3", False, [call("nothing")], [far]),
    ]
    found = by_familiarity(group, [known])
    assert list(found) == ["low", "medium", "high"]
    low, medium, high = found.values()
    assert (low.tools, low.frequency, low.call_success) == (1, 0.0, None)
    assert low.success.share.mean == 0.0
    assert (medium.frequency, medium.call_success.share.mean) == (2.0, 0.5)
    assert (high.familiarity, high.call_success.count) == (pytest.approx(1.0), 2)
    assert high.success.share.mean == 1.0
    assert by_familiarity([], [known]) == {}
