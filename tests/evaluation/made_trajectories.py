"""Trajectories for tests, each field as a test needs it."""

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


def call(name="a", arguments=None, observation="ok", error=None, phase=Phase.EXECUTION):
    return Step(
        text="...",
        phase=phase,
        action=ActionKind.CALL,
        call=ToolCall(name=name, arguments=arguments or {}),
        observation=observation,
        error=error,
    )


def trial(name="a", arguments=None, observation="ok", error=None):
    return call(name, arguments, observation, error, Phase.TRIAL)


def invalid(phase=Phase.EXECUTION, error=ErrorKind.NO_ACTION):
    return Step(
        text="?", phase=phase, action=ActionKind.INVALID, observation="error: no", error=error
    )


def answered():
    return Step(text="<answer>4</answer>", phase=Phase.EXECUTION, action=ActionKind.ANSWER)


def rollout(task_id="t0", success=True, steps=(), value=None, family=None, **fields):
    """A finished rollout; `score=None` in `fields` makes it one that was not scored."""
    made = {
        "taskset": "set/test (1)",
        "protocol": "trial",
        "policy": "p",
        "prompt": [],
        "tools": [],
        "stop_reason": StopReason.ANSWERED,
        "answer": "4",
        "labels": {} if family is None else {"family": family},
        "score": Score.of(success, value=value, answer=success, state=success),
    }
    return Trajectory(task_id=task_id, steps=list(steps), **(made | fields))


def rollouts(*outcomes, **fields):
    """One rollout a task, named t0, t1, ..."""
    return [rollout(f"t{index}", outcome, **fields) for index, outcome in enumerate(outcomes)]
