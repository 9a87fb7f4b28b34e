"""Figures: tasks are averaged first, what does not apply is left out."""

import pytest

from toolmaster.benchmarks.base import Case
from toolmaster.benchmarks.figures import Measured, figures, general_values
from toolmaster.benchmarks.grids import figures_grid
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
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


def rollout(task_id, success=True, family="a", steps=()):
    return Trajectory(
        task_id=task_id,
        protocol="direct",
        policy="p",
        prompt=[],
        tools=[],
        steps=list(steps),
        score=Score(success=success, answer_correct=success, state_correct=success),
        labels={"family": family},
    )


def case(task_id="t", needed=()):
    return Case(Task(task_id, "q", lambda: ToolSet(())), lambda t: {}, needed)


def measured(task_id, family="a", **values):
    return Measured(case(task_id), rollout(task_id, family=family), values)


def test_rollouts_of_one_task_are_averaged_first():
    found = figures([measured("1", f1=1.0), measured("1", f1=0.0), measured("2", f1=1.0)])
    assert list(found) == ["all"]
    assert (found["all"]["f1"].share.mean, found["all"]["f1"].count) == (0.75, 2)


def test_families_and_figures_that_do_not_apply():
    found = figures(
        [measured("1", "b", f1=1.0, reason="why"), measured("2", "a", f1=0.0, path=1.0)]
    )
    assert list(found) == ["all", "a", "b"]
    assert list(found["b"]) == ["f1"]
    assert (found["all"]["path"].share.mean, found["all"]["path"].count) == (1.0, 1)
    grid = figures_grid("title", found, {"judge": "m@1"})
    assert grid.header == ("%", "tasks", "all", "a", "b")
    assert [cell.value for cell in grid.rows[1]] == ["path", "1", "100.0", "100.0", "-"]
    assert grid.caption.endswith("; judge: m@1")


def test_general_values():
    steps = [call("a"), call("a"), call("b", ErrorKind.TOOL_ERROR), call("x")]
    values = general_values(case(needed=("a", "b", "c")), rollout("t", False, steps=steps))
    assert values == {
        "success": 0.0,
        "tool_recall": pytest.approx(1 / 3),
        "call_success": 0.75,
    }
    assert general_values(case(), rollout("t")) == {"success": 1.0}
