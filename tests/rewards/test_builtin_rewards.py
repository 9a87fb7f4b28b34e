"""Rewards worked by hand, and that none rises by calling more or by calling nothing."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolmaster.errors import ConfigError, InputError
from toolmaster.rewards import BUILT_IN, PhaseReward, Rewards, find_reward
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
FORMED = '<think>t</think><tool_call>{"name": "get", "arguments": {}}</tool_call>'


def call(phase=Phase.EXECUTION, observation="4", error=None, name="get", text=FORMED):
    return Step(
        text=text,
        phase=phase,
        action=ActionKind.CALL,
        call=ToolCall(name=name, arguments={}),
        observation=observation,
        error=error,
    )


def trajectory(calls=0, *, success=True, steps=(), stop=StopReason.ANSWERED, **fields):
    return Trajectory(
        task_id="t",
        protocol="direct",
        policy="p",
        prompt=[],
        tools=[],
        steps=[*[call()] * calls, *steps],
        stop_reason=stop,
        score=Score.of(success),
        **fields,
    )


def of(weights, *given, **fields):
    return asyncio.run(Rewards(weights).of(trajectory(*given, **fields)))


def built_in(name, given):
    return BUILT_IN[name](given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>t</think><answer>4</answer>", 1.0),
        ("<think>t</think>\n<answer>4</answer>\n", 1.0),
        ("<answer>4</answer>", 0.0),
        ("<think></think><experience>a</experience>", 1.0),
        ("blah <think>t</think><answer>4</answer>", 0.0),
        ("<think>t</think><answer>4</answer> and more", 0.0),
        ("<think>t</think> so <answer>4</answer>", 0.0),
        ("<think>a</think><think>b</think><answer>4</answer>", 0.0),
        ("<think>t</think><answer>4</answer><answer>5</answer>", 0.0),
    ],
)
def test_format_wants_a_thought_and_one_block_alone(text, expected):
    assert built_in("format", trajectory(1, steps=[call(text=text)])) == expected


@pytest.mark.parametrize(
    ("stop", "errors", "expected"),
    [
        (StopReason.MAX_TURNS, [], 0.0),
        (StopReason.ANSWERED, [ErrorKind.MALFORMED_JSON], 0.0),
        (StopReason.ANSWERED, [ErrorKind.WRONG_PHASE], 0.0),
        (StopReason.ANSWERED, [ErrorKind.TOOL_ERROR, ErrorKind.INVALID_ARGUMENTS], 1.0),
    ],
)
def test_format_counts_format_errors_alone(stop, errors, expected):
    steps = [call(error=error) for error in errors]
    assert built_in("format", trajectory(steps=steps, stop=stop)) == expected


def test_correctness_and_score():
    graded = trajectory(1).model_copy(update={"score": Score.of(False, value=0.25)})
    unscored = trajectory(1).model_copy(update={"score": None})
    assert [built_in("correctness", t) for t in (trajectory(1), graded, unscored)] == [1, 0, None]
    assert [built_in("score", t) for t in (trajectory(1), graded, unscored)] == [1, 0.25, None]


def test_costs_are_those_of_success_only():
    assert built_in("call_cost", trajectory(3)) == -3.0
    assert built_in("call_cost", trajectory(3, success=False)) == 0.0
    failed = [call(error=ErrorKind.TOOL_ERROR), call(Phase.TRIAL, error=ErrorKind.TOOL_ERROR)]
    assert built_in("execution_errors", trajectory(steps=failed)) == PhaseReward(0, -1)
    assert built_in("execution_errors", trajectory(steps=failed, success=False)) == (0, 0)


def test_a_trial_earns_by_what_is_new():
    steps = [
        call(Phase.TRIAL, "1"),
        call(Phase.TRIAL, "1"),  # the same again
        call(Phase.TRIAL, "error: x", ErrorKind.TOOL_ERROR),
        call(Phase.TRIAL, "error: y", ErrorKind.TOOL_ERROR),  # no other kind of error
        call(Phase.TRIAL, "used up", ErrorKind.BUDGET_EXHAUSTED),
        call(Phase.EXECUTION, "2"),
    ]
    assert built_in("trial_information", trajectory(steps=steps)).trial == pytest.approx(2 / 3)
    assert built_in("trial_information", trajectory(steps=steps, success=False)) == (0, 0)
    many = [call(Phase.TRIAL, str(i)) for i in range(9)]
    assert built_in("trial_information", trajectory(steps=many)) == PhaseReward(trial=1)


def test_the_sum_by_hand():
    weights = {"format": 0.5, "correctness": 1.0, "call_cost": 0.1}
    assert of(weights, 3) == pytest.approx(0.5 + 1.0 - 0.3)
    assert of(weights, 3, success=False) == pytest.approx(0.5)
    assert of(weights, 12) == pytest.approx(0.5 + 1.0 - 0.5)  # costs take half of success at most


def test_a_reward_of_a_phase_makes_the_sum_one_of_phases():
    steps = [call(Phase.TRIAL, "1"), call(error=ErrorKind.TOOL_ERROR)]
    weights = {"correctness": 1.0, "trial_information": 0.3, "execution_errors": 0.2}
    assert of(weights, steps=steps) == pytest.approx(PhaseReward(1.0 + 0.1, 1.0 - 0.2))
    assert of({"correctness": 1.0}, steps=steps) == 1.0


def test_a_broken_rollout_is_left_out_and_so_is_none():
    assert of({"format": 1.0}, 1, error="gone") is None
    assert of({"format": 1.0, (lambda t: None): 1.0}, 1) is None


def test_functions_plain_and_async_by_name_and_as_they_are(tmp_path):
    async def later(trajectory):
        return len(trajectory.steps)

    assert of({later: 2.0, (lambda t: True): 0.5}, 3) == 6.5
    file = tmp_path / "mine.py"
    file.write_text("def reward(trajectory):\n    return 0.25\nNUMBER = 3\n")
    assert of({f"{file}:reward": 2.0}, 1) == 0.5
    with pytest.raises(InputError, match="is a int, not a function"):
        find_reward(f"{file}:NUMBER")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "at least one reward"),
        ({"correctnes": 1.0}, "unknown reward 'correctnes' \\(did you mean 'correctness'"),
        ({"judge": 1.0}, 'the reward "judge" needs a model'),
        ({"format": 0.0}, "at least one reward"),
        ({"format": -1.0}, "the weight of a reward is 0 or more, 'format' has -1.0"),
    ],
)
def test_what_is_no_reward(weights, message):
    with pytest.raises(ConfigError, match=message):
        Rewards(weights)


@pytest.mark.parametrize("value", ["much", float("nan"), [1.0]])
def test_a_reward_that_is_no_number_is_an_error(value):
    with pytest.raises(InputError, match="returned"):
        of({(lambda t: value): 1.0}, 1)


def test_a_reward_that_fails_says_where():
    def divided(trajectory):
        return 1 / 0

    with pytest.raises(InputError, match="'divided' failed on task 't': ZeroDivisionError"):
        of({divided: 1.0}, 1)


def test_why_a_rollout_was_left_out():
    rewards = Rewards({"format": 1.0, "correctness": 1.0})
    assert asyncio.run(rewards.of(trajectory(1, error="gone"))) is None
    assert rewards.left_out == "the rollout broke: gone"
    unscored = trajectory(1).model_copy(update={"score": None})
    assert asyncio.run(rewards.of(unscored)) is None
    assert "correctness is None for task 't'; the task has neither an answer" in rewards.left_out


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("success", [True, False])
@given(calls=st.integers(1, 12), more=st.integers(1, 12))
def test_calling_the_same_again_never_raises_a_reward(name, success, calls, more):
    few, many = (trajectory(n, success=success) for n in (calls, calls + more))
    one, two = built_in(name, few), built_in(name, many)
    pairs = zip(one, two, strict=True) if isinstance(one, PhaseReward) else [(one, two)]
    assert all(later <= before for before, later in pairs)


@given(st.fixed_dictionaries(dict.fromkeys(BUILT_IN, positive)), st.integers(0, 12))
def test_an_honest_failure_never_beats_a_success_of_the_same_form(weights, calls):
    lost = of(weights, calls, success=False)
    for more in (0, 1, 12):
        won = of(weights, calls + more)
        assert won.total > lost.total
        assert all(a >= b for a, b in zip(won, lost, strict=True))


@given(st.fixed_dictionaries({"call_cost": positive, "execution_errors": positive}), positive)
def test_costs_stay_below_a_reward_of_one_s_own(weights, weight):
    def solved(trajectory):
        return float(trajectory.success)

    steps = [call(error=ErrorKind.TOOL_ERROR)] * 12
    won, lost = (of({**weights, solved: weight}, steps=steps, success=s) for s in (True, False))
    assert won.total >= weight / 2 > lost.total == 0


@given(st.fixed_dictionaries(dict.fromkeys(BUILT_IN, positive)), st.integers(1, 12))
def test_failing_without_calls_never_beats_failing_with_calls(weights, calls):
    idle, honest = (of(weights, n, success=False) for n in (0, calls))
    assert idle.total <= honest.total
