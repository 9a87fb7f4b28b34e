"""The figures of an evaluation, worked by hand."""

import json

import pytest
from made_trajectories import answered, call, invalid, rollout, rollouts, trial

from toolmaster.errors import InputError
from toolmaster.evaluation.metrics import (
    TaskKey,
    by_label,
    figures,
    latest,
    pass_at_k,
    success_by_task,
    summarize,
)
from toolmaster.types import ErrorKind, Phase, Score, StopReason


def test_rollouts_of_one_task_are_averaged_first():
    # Task a: 1 of 3. Task b: 1 of 1. Over rollouts it would be 0.5, over tasks it is 2/3.
    group = [rollout("a", success=i == 0, rollout=i) for i in range(3)] + [rollout("b")]
    summary = summarize(group)
    assert (summary.tasks, summary.rollouts) == (2, 4)
    assert summary.success.mean == pytest.approx(2 / 3)
    assert summary.success.count == 2


def test_the_same_id_in_two_task_sets_is_two_tasks():
    group = [rollout("1", True, taskset="a"), rollout("1", False, taskset="b")]
    assert success_by_task(group) == {TaskKey("a", "1"): 1.0, TaskKey("b", "1"): 0.0}
    assert len(latest(group)) == 2


def test_graded_value_and_parts_are_means_over_tasks():
    def graded(task_id, value, **parts):
        return rollout(task_id, score=Score.of(False, value=value, **parts))

    group = [graded("a", 0.2, f1=0.5), graded("a", 0.6, f1=0.7), graded("b", 1.0)]
    summary = summarize(group)
    assert summary.value.mean == pytest.approx(0.7)  # of 0.4 and 1.0
    assert summary.parts["f1"].mean == pytest.approx(0.6)
    assert (summary.parts["f1"].count, str(summary.parts["f1"])) == (1, "0.60 [one task]")
    many = summarize([graded("a", 1.0, orders=3), graded("b", 1.0, orders=5)])
    assert (many.parts["orders"].mean, many.parts["orders"].share) == (4.0, False)


def test_what_broke_and_what_was_not_scored_is_no_failure():
    group = [
        rollout("1", True),
        rollout("2", False),
        rollout("3", False, error="the endpoint is down", score=None),
        rollout("4", False, score=None, steps=[call()]),
    ]
    summary = summarize(group)
    assert summary.success.mean == 0.5
    assert (summary.rollouts, summary.broken, summary.unscored) == (3, 1, 1)
    assert summary.calls == pytest.approx(1 / 3)  # effort is of all that did not break


@pytest.mark.parametrize(
    ("group", "why"),
    [
        ([], "0 rollouts$"),
        ([rollout(error="gone")], "1 rollouts, all of them broke"),
        ([rollout(score=None)], "no task has an answer or a check"),
    ],
)
def test_nothing_to_measure_is_refused(group, why):
    with pytest.raises(InputError, match=f"nothing to measure: .*{why}"):
        summarize(group)


def test_recovery_pools_errors_over_trajectories():
    mended = rollout("1", steps=[invalid(), invalid(), answered()])
    stuck = rollout("2", steps=[trial("a", error=ErrorKind.TOOL_ERROR)])
    assert summarize([mended, stuck]).recovery == pytest.approx(2 / 3)
    assert summarize([rollout(steps=[answered()])]).recovery is None


def test_summary_counts_errors_and_stops_per_rollout():
    bad = [invalid(Phase.TRIAL), call("a", error=ErrorKind.TOOL_ERROR), invalid()]
    group = [
        rollout("1", steps=bad, completion_tokens=30, seconds=1.0, needed=["a"]),
        rollout("2", steps=[answered()], completion_tokens=10, seconds=2.0),
        rollout("3", False, stop_reason=None, error="the endpoint is down"),
        rollout("4", False, stop_reason=StopReason.MAX_TURNS),
    ]
    summary = summarize(group)
    assert summary.errors == {"no_action": 2 / 3, "tool_error": 1 / 3}  # of three: one broke
    assert summary.execution_errors == 2 / 3
    assert summary.format_ok == 1 / 3
    assert (summary.completion_tokens, summary.seconds) == (40 / 3, 1.0)
    assert summary.stop_reasons == {"answered": 2, "max_turns": 1}
    assert (summary.tool_recall.mean, summary.call_success.mean) == (0.0, 0.0)
    assert json.loads(summary.model_dump_json())["success"]["mean"] == 2 / 3


def test_pass_at_k_averages_tasks_and_leaves_out_those_with_fewer_rollouts():
    won = {"a": [1, 0, 0, 0], "b": [1, 1, 0, 0], "c": [1]}
    group = [
        rollout(task, bool(success), rollout=i)
        for task, outcomes in won.items()
        for i, success in enumerate(outcomes)
    ]
    # a: 1 - C(3,2)/C(4,2) = 0.5; b: 1 - C(2,2)/C(4,2) = 5/6; c has no two rollouts.
    found = pass_at_k(group, 2)
    assert (found.mean, found.count) == (pytest.approx((0.5 + 5 / 6) / 2), 2)
    assert pass_at_k(group, 1).mean == pytest.approx((0.25 + 0.5 + 1) / 3)
    with pytest.raises(InputError, match="pass@5 needs 5 scored rollouts of a task; there are 4"):
        pass_at_k(group, 5)


def test_figures_leave_out_what_repeats_success():
    assert list(figures(rollouts(True, False))) == ["success"]
    twice = [rollout("a", i == 0, value=0.5, rollout=i, steps=[call()]) for i in range(2)]
    found = figures(twice)
    assert list(found) == ["success (mean@2)", "pass@2", "value", "calls without error"]
    other = [rollout("a", False, value=0.5, needed=["x"])]
    assert list(figures(other)) == ["success", "value", "needed tools used"]


def test_by_label_keeps_the_unlabelled_and_the_order():
    group = [rollout("1", family="silent"), rollout("2", family="loud"), rollout("3")]
    group.append(rollout("4", family="broken", error="gone"))
    assert {k: len(v) for k, v in by_label(group, "family").items()} == {
        "silent": 1,
        "loud": 1,
        "unlabelled": 1,
    }
    sizes = [rollout(str(i), family=f"{n} tools") for i, n in enumerate((3, 12, 5))]
    assert list(by_label(sizes, "family")) == ["3 tools", "5 tools", "12 tools"]
    assert list(by_label(group, "taskset")) == ["set/test (1)"]
    assert list(by_label([rollout(taskset="")], "taskset")) == ["tasks"]
