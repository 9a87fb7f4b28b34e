"""The numbers of an evaluation, worked by hand."""

import json

import pytest

from toolmaster.errors import InputError
from toolmaster.evaluation.metrics import (
    bootstrap,
    by_label,
    paired_difference,
    pass_at,
    recoveries,
    share,
    summarize,
    useful_trials,
)
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

TRIAL, EXECUTION = Phase.TRIAL, Phase.EXECUTION


def call(phase, name, arguments=None, observation="ok", error=None):
    tool_call = ToolCall(name=name, arguments=arguments or {})
    return Step(
        text="...",
        phase=phase,
        action=ActionKind.CALL,
        call=tool_call,
        observation=observation,
        error=error,
    )


def invalid(phase=EXECUTION, error=ErrorKind.NO_ACTION):
    return Step(
        text="?", phase=phase, action=ActionKind.INVALID, observation="error: no", error=error
    )


def answer():
    return Step(text="<answer>4</answer>", phase=EXECUTION, action=ActionKind.ANSWER)


def rollout(task_id="t0", success=True, steps=(), **fields):
    settings = {"stop_reason": StopReason.ANSWERED, "labels": {"split": "unseen"}} | fields
    return Trajectory(
        task_id=task_id,
        protocol="trial",
        policy="p",
        prompt=[],
        tools=[],
        steps=list(steps),
        score=Score.of(success, answer=success, state=success),
        **settings,
    )


def test_bootstrap_of_equal_values_has_no_width():
    interval = bootstrap([1.0, 1.0, 1.0])
    assert (interval.mean, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_bootstrap_matches_the_binomial_interval():
    # 100 tasks, half solved: the standard error is 0.05, so about 0.5 -+ 1.96 * 0.05.
    interval = bootstrap([0.0, 1.0] * 50)
    assert interval.mean == 0.5
    assert interval.low == pytest.approx(0.402, abs=0.015)
    assert interval.high == pytest.approx(0.598, abs=0.015)


def test_bootstrap_repeats_with_its_seed_and_refuses_nothing():
    values = [index**0.5 for index in range(30)]
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)
    with pytest.raises(InputError, match="at least one trajectory"):
        bootstrap([])


def test_rollouts_of_one_task_are_averaged_first():
    # Task a: 1 of 3. Task b: 1 of 1. Over rollouts it would be 0.5, over tasks it is 2/3.
    group = [rollout("a", success=i == 0, rollout=i) for i in range(3)] + [rollout("b")]
    summary = summarize(group)
    assert (summary.tasks, summary.rollouts) == (2, 4)
    assert summary.success.mean == pytest.approx(2 / 3)
    assert (summary.success.low, summary.success.high) == (pytest.approx(1 / 3), 1.0)


def test_paired_difference_uses_common_tasks_only():
    a = [rollout("1", False), rollout("2", False), rollout("3", True), rollout("only a", True)]
    b = [rollout("3", True), rollout("2", True), rollout("1", True), rollout("only b", False)]
    difference = paired_difference(a, b)
    assert difference.mean == pytest.approx(2 / 3)
    assert (difference.low, difference.high) == (0.0, 1.0)
    assert paired_difference(b, a).mean == pytest.approx(-2 / 3)


def test_pairing_removes_the_spread_between_tasks():
    # b solves exactly what a solves, however the tasks vary; 3.84 / (20 + 3.84) may still differ.
    a = [rollout(str(i), i % 2 == 0) for i in range(20)]
    found = paired_difference(a, list(reversed(a)))
    assert (found.mean, found.low, found.high) == (0, -found.high, pytest.approx(0.1611, abs=1e-4))


def test_intervals_are_honest_at_the_ends_and_for_one_task():
    # Wilson, by hand: 0 of 16 gives z^2 / (16 + z^2) = 3.8415 / 19.8415.
    assert str(share([0.0] * 16)) == "0.00 [0.00, 0.19]"
    assert str(share([1.0] * 16)) == "1.00 [0.81, 1.00]"
    assert str(share([1.0])) == "1.00 [one task]"
    half = share([1.0, 0.0] * 50)  # z = 1.96: 0.5 +- 0.0962
    assert (half.low, half.high) == (
        pytest.approx(0.4038, abs=1e-4),
        pytest.approx(0.5962, abs=1e-4),
    )
    assert str(share([0.5] * 16)) == "0.50 [0.28, 0.72]"  # graded, all alike
    graded = share([0.2, 0.4, 0.6, 0.8])
    assert 0.2 < graded.low < 0.5 < graded.high < 0.8


@pytest.mark.parametrize(
    ("successes", "rollouts", "k", "right"),
    [(0, 4, 2, 0.0), (4, 4, 1, 1.0), (1, 4, 1, 0.25), (1, 4, 2, 0.5), (2, 4, 2, 1 - 1 / 6)],
)
def test_pass_at_by_hand(successes, rollouts, k, right):
    assert pass_at(successes, rollouts, k) == pytest.approx(right)


def test_pass_at_needs_enough_rollouts():
    with pytest.raises(InputError, match="pass@3 needs at least 3 rollouts a task, received 2"):
        pass_at(1, 2, 3)


def test_paired_difference_refuses_disjoint_tasks():
    with pytest.raises(InputError, match="no task in common: 1 tasks on one side, 1 on the other"):
        paired_difference([rollout("1")], [rollout("2")])


def test_useful_trials_counts_news_only():
    steps = [
        call(TRIAL, "add", {"n": 1}, "1"),  # new: first success
        call(TRIAL, "add", {"n": 1}, "2"),  # repeats a call
        call(TRIAL, "add", {"n": 2}, "1"),  # an observation already known
        call(TRIAL, "add", {"n": 3}, "3"),  # new: another observation
        call(TRIAL, "add", {"n": 9}, "error: big", ErrorKind.TOOL_ERROR),  # new: first of its kind
        call(TRIAL, "add", {"n": 8}, "error: huge", ErrorKind.TOOL_ERROR),  # the same kind
        call(TRIAL, "add", {}, "error: n?", ErrorKind.INVALID_ARGUMENTS),  # new: another kind
        call(TRIAL, "sub", {"n": 1}, "1"),  # new: another tool
        call(TRIAL, "mul", {"n": 1}, "error: used up", ErrorKind.BUDGET_EXHAUSTED),  # never
        invalid(TRIAL),
        call(EXECUTION, "div", {"n": 1}, "1"),  # no trial
    ]
    assert useful_trials(rollout(steps=steps)) == 5
    summary = summarize([rollout(steps=steps)])
    assert (summary.trial_calls, summary.execution_calls, summary.calls) == (9, 1, 10)
    assert (summary.useful_trials, summary.unproductive_trials) == (5, 4)


def test_argument_order_does_not_make_a_call_new():
    first = call(TRIAL, "add", {"a": 1, "b": 2}, "3")
    again = call(TRIAL, "add", {"b": 2, "a": 1}, "other")
    assert useful_trials(rollout(steps=[first, again])) == 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([call(TRIAL, "a", error=ErrorKind.TOOL_ERROR), call(EXECUTION, "a")], (1, 1)),
        ([call(TRIAL, "a", error=ErrorKind.TOOL_ERROR), call(EXECUTION, "b")], (1, 0)),
        ([call(TRIAL, "a"), call(EXECUTION, "a", error=ErrorKind.TIMEOUT)], (1, 0)),
        ([call(TRIAL, "x", error=ErrorKind.UNKNOWN_TOOL), call(TRIAL, "a")], (1, 1)),
        ([call(TRIAL, "x", error=ErrorKind.UNKNOWN_TOOL), answer()], (1, 0)),
        ([invalid(), answer()], (1, 1)),
        ([invalid(), invalid()], (2, 0)),
        ([call(TRIAL, "a", error=ErrorKind.NOT_EXECUTED), call(EXECUTION, "a")], (0, 0)),
        ([call(TRIAL, "a", error=ErrorKind.BUDGET_EXHAUSTED)], (0, 0)),
    ],
)
def test_recoveries(steps, expected):
    assert recoveries(rollout(steps=steps)) == expected


def test_recovery_pools_errors_over_trajectories():
    mended = rollout("1", steps=[invalid(), invalid(), answer()])
    stuck = rollout("2", steps=[call(TRIAL, "a", error=ErrorKind.TOOL_ERROR)])
    assert summarize([mended, stuck]).recovery == pytest.approx(2 / 3)
    assert summarize([rollout(steps=[answer()])]).recovery is None


def test_summary_counts_errors_and_stops_per_trajectory():
    bad = [invalid(TRIAL), call(EXECUTION, "a", error=ErrorKind.TOOL_ERROR), invalid()]
    group = [
        rollout("1", steps=bad, completion_tokens=30, seconds=1.0),
        rollout("2", steps=[answer()], completion_tokens=10, seconds=2.0),
        rollout("3", False, stop_reason=None, error="the endpoint is down"),
        rollout("4", False, stop_reason=StopReason.MAX_TURNS),
    ]
    summary = summarize(group)
    assert summary.errors == {"no_action": 2 / 3, "tool_error": 1 / 3}  # of three: one broke
    assert summary.execution_errors == 2 / 3
    assert summary.format_ok == 1 / 3
    assert (summary.completion_tokens, summary.seconds) == (40 / 3, 1.0)
    assert summary.stop_reasons == {"answered": 2, "max_turns": 1}
    assert (summary.rollouts, summary.broken) == (3, 1)
    assert json.loads(summary.model_dump_json())["success"]["mean"] == 2 / 3


def test_summarize_refuses_nothing():
    with pytest.raises(InputError, match="nothing to measure: 0 rollouts"):
        summarize([])


def test_by_label_sorts_and_keeps_the_unlabelled():
    group = [
        rollout("1", labels={"family": "silent"}),
        rollout("2", False, labels={"family": "loud"}),
        rollout("3", labels={}),
    ]
    summaries = by_label(group, "family")
    assert list(summaries) == ["loud", "silent", "unlabelled"]
    assert [s.success.mean for s in summaries.values()] == [0.0, 1.0, 1.0]
