"""Success by calls and the classes of errors, worked by hand."""

import pytest
from made_trajectories import call, rollout

from toolmaster.evaluation.analyses import (
    ErrorClass,
    error_class,
    error_classes,
    success_by_calls,
)
from toolmaster.evaluation.analysis_tables import calls_grid, errors_grid, left_out_grid
from toolmaster.tasksets.taskset import LeftOut
from toolmaster.types import ErrorKind


def test_success_by_calls():
    group = [rollout(str(i), n > 1, [call("a")] * n) for i, n in enumerate((0, 1, 2, 2, 8, 11))]
    group.append(rollout("2", False, [call("a")] * 2, rollout=1))  # once more task "2"
    found = success_by_calls([*group, rollout("x", error="gone")])
    assert {key: (interval.count, interval.mean) for key, interval in found.items()} == {
        "0": (1, 0.0),
        "1": (1, 0.0),
        "2": (2, 0.75),
        "8+": (2, 1.0),
    }


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


def test_error_classes_know_what_each_task_needs():
    group = [
        rollout("1", False, [call("a")], needed=["a", "b"]),
        rollout("2", False, [call("a")]),
        rollout("3", True),
    ]
    assert error_classes(group) == {
        ErrorClass.INCOMPLETE_CHAIN: 1,
        ErrorClass.EXECUTION_FAILURE: 0,
        ErrorClass.REASONING_ERROR: 1,
    }


def test_the_tables_of_the_analyses():
    group = [rollout(str(i), i > 0, [call("a")] * i) for i in range(3)]
    grid = calls_grid({"m": group, "n": group[:1]})
    assert [[cell.value for cell in row] for row in grid.rows] == [
        ["0", "0.0", "0.0"],
        ["1", "100.0", "-"],
        ["2", "100.0", "-"],
    ]
    errors = errors_grid({"m": group})
    assert errors.header == ("class", "%")
    assert [(row[1].value, row[1].note) for row in errors.rows] == [
        ("33.3", "(1)"),
        ("0.0", "(0)"),
        ("0.0", "(0)"),
    ]


def test_left_out_rows_are_named():
    rows = [LeftOut("f.json", i, "", "no query") for i in range(21)]
    grid = left_out_grid(rows)
    assert [cell.value for cell in grid.rows[0]] == ["f.json, row 0", "-", "no query"]
    assert len(grid.rows) == 20
    assert grid.caption == "21 rows could not become tasks, the first 20 are shown"
