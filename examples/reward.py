"""Rewards: functions of a finished trajectory. None leaves a rollout out of its group.

    python examples/reward.py

In a recipe, or as an option, a reward is named `examples/reward.py:brief`:

    toolmaster grpo MODEL TASKSET --reward examples/reward.py:brief
"""

import toolmaster as tm


def brief(t: tm.Trajectory) -> float | None:
    """Return success minus a little for every call; a failure gets 0."""
    if t.score is None:
        return None
    return t.success * (1 - min(0.02 * len(t.calls()), 0.3))


def careful(t: tm.Trajectory) -> float | None:
    """Return success minus a cost for every failed call in execution; the trial costs nothing."""
    if t.score is None:
        return None
    failed = sum(step.error is not None for step in t.calls(tm.Phase.EXECUTION))
    return t.success * (1 - min(0.1 * failed, 0.5))


if __name__ == "__main__":
    task = tm.Task("sum", "What is 2 + 2?", tools=[], answer="4")
    for answer in ("4", "5"):
        turn = f"<think>I add.</think><answer>{answer}</answer>"
        trajectory = tm.rollout(tm.ScriptedPolicy([turn]), task, protocol=tm.Protocol.DIRECT)
        print(answer, "brief:", brief(trajectory), "careful:", careful(trajectory))
