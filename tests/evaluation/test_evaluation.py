"""The figures of an evaluation, worked by hand."""

import pytest
from made_trajectories import answered, call, invalid, rollout, rollouts, trial

from toolmaster.errors import InputError
from toolmaster.evaluation.behaviour import ErrorClass
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.evaluation.metrics import TaskKey, latest, success_by_task
from toolmaster.types import ErrorKind, Phase, Score, StopReason


def test_rollouts_of_one_task_are_averaged_first():
    # Task a: 1 of 3. Task b: 1 of 1. Over rollouts it would be 0.5, over tasks it is 2/3.
    group = [rollout("a", success=i == 0, rollout=i) for i in range(3)] + [rollout("b")]
    success = Evaluation(group).success
    assert (success.mean, success.count) == (pytest.approx(2 / 3), 2)


def test_the_same_id_in_two_task_sets_is_two_tasks():
    group = [rollout("1", True, taskset="a"), rollout("1", False, taskset="b")]
    assert success_by_task(group) == {TaskKey("a", "1"): 1.0, TaskKey("b", "1"): 0.0}
    assert len(latest(group)) == 2


def test_graded_value_and_parts_are_means_over_tasks():
    def graded(task_id, value, number=0, **parts):
        return rollout(task_id, score=Score.of(False, value=value, **parts), rollout=number)

    group = [graded("a", 0.2, f1=0.5), graded("a", 0.6, 1, f1=0.7), graded("b", 1.0)]
    assert Evaluation(group).value.mean == pytest.approx(0.7)  # of 0.4 and 1.0
    f1 = Evaluation(group).parts["f1"]
    assert (f1.mean, f1.count, str(f1)) == (pytest.approx(0.6), 1, "0.60 [one task]")
    counted = Evaluation([graded("a", 1.0, orders=3), graded("b", 1.0, orders=5)])
    assert (counted.parts, counted.effort["orders"]) == ({}, 4.0)


def test_what_broke_and_what_was_not_scored_is_no_failure():
    group = [
        rollout("1", True),
        rollout("2", False),
        rollout("3", False, error="the endpoint is down", score=None),
        rollout("4", False, score=None, steps=[call()]),
    ]
    assert Evaluation(group).success.mean == 0.5
    record = Evaluation(group).record()
    assert (record["rollouts"], record["broken"], record["unscored"]) == (3, 1, 1)
    assert Evaluation(group).effort["calls"] == pytest.approx(1 / 3)  # of all that did not break


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
        _ = Evaluation(group).success


def test_recovery_is_a_mean_over_the_tasks_with_mistakes():
    half = rollout("1", steps=[invalid(), answered(), trial("a", error=ErrorKind.TOOL_ERROR)])
    none = rollout("2", steps=[answered()])
    stuck = rollout("3", steps=[invalid()])
    recovered = Evaluation([half, none, stuck]).figures["mistakes recovered"]
    assert (recovered.mean, recovered.count) == (0.25, 2)
    assert "mistakes recovered" not in Evaluation([none]).figures


def test_effort_errors_and_stops_are_of_the_rollouts_that_did_not_break():
    bad = [invalid(Phase.TRIAL), call("a", error=ErrorKind.TOOL_ERROR), invalid()]
    group = [
        rollout("1", steps=bad, completion_tokens=30, seconds=1.0, needed=["a"]),
        rollout("2", steps=[answered()], completion_tokens=10, seconds=2.0),
        rollout("3", False, stop_reason=None, error="the endpoint is down"),
        rollout("4", False, stop_reason=StopReason.MAX_TURNS),
    ]
    record = Evaluation(group).record()
    assert record["errors"] == {"no_action": 2 / 3, "tool_error": 1 / 3}  # of three: one broke
    assert record["stop_reasons"] == {"answered": 2, "max_turns": 1}
    assert record["effort"] == {
        "calls": 1 / 3,
        "trial calls": 0.0,  # of the one rollout with a trial phase
        "useful trial calls": 0.0,
        "errors in execution": 2 / 3,
        "tokens": 40 / 3,
        "seconds": 1.0,
    }
    shares = {name: figure["mean"] for name, figure in record["figures"].items()}
    assert shares["format kept"] == 1 / 3
    assert (shares["needed tools used"], shares["calls without error"]) == (0.0, 0.0)


def test_error_classes_know_what_each_task_needs():
    group = [
        rollout("1", False, [call("a")], needed=["a", "b"]),
        rollout("2", False, [call("a")]),
        rollout("3", True),
    ]
    shares = {kind: share.mean for kind, share in Evaluation(group).error_classes().items()}
    assert shares == {
        ErrorClass.INCOMPLETE_CHAIN: pytest.approx(1 / 3),
        ErrorClass.EXECUTION_FAILURE: 0.0,
        ErrorClass.REASONING_ERROR: pytest.approx(1 / 3),
    }


def test_pass_at_k_averages_tasks_and_leaves_out_those_with_fewer_rollouts():
    won = {"a": [1, 0, 0, 0], "b": [1, 1, 0, 0], "c": [1]}
    group = [
        rollout(task, bool(success), rollout=i)
        for task, outcomes in won.items()
        for i, success in enumerate(outcomes)
    ]
    # a: 1 - C(3,2)/C(4,2) = 0.5; b: 1 - C(2,2)/C(4,2) = 5/6; c has no two rollouts.
    found = Evaluation(group).pass_at(2)
    assert (found.mean, found.count) == (pytest.approx((0.5 + 5 / 6) / 2), 2)
    assert Evaluation(group).pass_at(1).mean == pytest.approx((0.25 + 0.5 + 1) / 3)
    with pytest.raises(InputError, match="pass@5 needs 5 scored rollouts of a task; there are 4"):
        Evaluation(group).pass_at(5)


def test_figures_are_named():
    assert list(Evaluation(rollouts(True)).figures) == [
        "success",
        "value",
        "answer",
        "state",
        "format kept",
    ]
    score = {"score": Score.of(True)}
    twice = [rollout("a", rollout=i, steps=[call()], needed=["x"], **score) for i in range(2)]
    assert list(Evaluation(twice).figures) == [
        "success (mean@2)",
        "pass@2",
        "value",
        "needed tools used",
        "calls without error",
        "format kept",
    ]


def test_groups_keep_the_unlabelled_and_the_order():
    def groups(trajectories, label):
        found = Evaluation(trajectories).by(label)
        return {value: len(part.trajectories) for value, part in found.items()}

    group = [rollout("1", family="silent"), rollout("2", family="loud"), rollout("3")]
    group.append(rollout("4", family="broken", error="gone"))
    assert groups(group, "family") == {"silent": 1, "loud": 1, "unlabelled": 1}
    sizes = [rollout(str(i), family=f"{n} tools") for i, n in enumerate((3, 12, 5))]
    assert list(groups(sizes, "family")) == ["3 tools", "5 tools", "12 tools"]
    assert list(groups(group, "taskset")) == ["set/test (1)"]
    assert list(groups([rollout(taskset="")], "taskset")) == ["tasks"]
