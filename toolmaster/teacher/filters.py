"""The paper's filter as rules: keep demonstrations that plan, explore and validate.

Source: arXiv 2601.12762, section on trajectory filtering, where a judge model looks for the three
behaviours. Here each is a small function of the trajectory. A teacher that is a model makes
mistakes of its own: `mark_slips` takes those out of training before the filter looks.
"""

from __future__ import annotations

from toolmaster.protocols import Protocol
from toolmaster.teacher.settings import Behaviours
from toolmaster.types import FORMAT_ERRORS, ActionKind, ErrorKind, Phase, Trajectory

REFUSED = frozenset(
    {ErrorKind.INVALID_ARGUMENTS, ErrorKind.BUDGET_EXHAUSTED, ErrorKind.NOT_PERMITTED}
)
"""What answers a call that never reached its tool, so that nothing was tried."""


def plans(trajectory: Trajectory) -> bool:
    """Every turn but a slip thinks before it acts."""
    return all(
        step.text.startswith("<think>") and not step.text.startswith("<think></think>")
        for step in trajectory.steps
        if not step.slip
    )


def explores(trajectory: Trajectory) -> bool:
    """Every tool of the execution was tried before, by itself or through its twin, or is known."""
    if trajectory.protocol != Protocol.TRIAL or trajectory.retrieved_experience:
        return True
    trial = [step for step in trajectory.calls(Phase.TRIAL) if step.error not in REFUSED]
    tried = {step.call.name for step in trial if step.call}
    execution = [step for step in trajectory.calls(Phase.EXECUTION) if not step.slip]
    used = {step.call.name for step in execution if step.call}
    return bool(tried) and used <= tried


def validates(trajectory: Trajectory) -> bool:
    """Every error is answered with another attempt; after a trial, execution has only slips."""
    steps = trajectory.steps
    for index, step in enumerate(steps):
        if step.error is None:
            continue
        tried = trajectory.protocol == Protocol.TRIAL and step.phase is Phase.EXECUTION
        if tried and not step.slip:
            return False
        rest = steps[index + 1 :]
        if not any(s.action is ActionKind.CALL and s.error is None for s in rest):
            return False
    return True


def keep(trajectory: Trajectory) -> bool:
    """Whether a demonstration shows all three behaviours."""
    return plans(trajectory) and explores(trajectory) and validates(trajectory)


def mark_slips(trajectory: Trajectory) -> None:
    """Mark what nobody should learn to write, but everybody to mend.

    That is a turn which breaks the format, a call of a tool that does not exist, and, once a trial
    is over, a call that fails. A trial may fail: that is what it is for.
    """
    for step in trajectory.steps:
        tried = trajectory.protocol == Protocol.TRIAL and step.phase is Phase.EXECUTION
        broken = step.error in FORMAT_ERRORS or step.error is ErrorKind.UNKNOWN_TOOL
        step.slip = step.slip or broken or (tried and step.error is not None)


def reason_against(trajectory: Trajectory, behaviours: Behaviours, *, rules: bool) -> str | None:
    """Why a teacher's trajectory is no demonstration; None when it is one.

    Args:
        trajectory: with its slips marked.
        behaviours: what the teacher was told to show.
        rules: whether it must show planning, exploration and validation; without, it is enough
            that it answered, and rightly where the task has a checker.
    """
    if trajectory.answer is None or not trajectory.answer.strip():
        return f"no answer: {trajectory.error or trajectory.stop_reason}"
    if trajectory.score is not None and not trajectory.score.success:
        return "wrong answer or end state"
    return _not_shown(trajectory, behaviours) if rules else None


def _not_shown(trajectory: Trajectory, behaviours: Behaviours) -> str | None:
    """The first behaviour that is missing."""
    if not plans(trajectory):
        return "no planning: a turn without a thought"
    if behaviours.trial and not explores(trajectory):
        return "no exploration: a tool was used that was not tried"
    if not behaviours.self_correction and any(step.error for step in trajectory.steps):
        return "an error, where none is to be shown"
    return None if validates(trajectory) else "no validation: an error without another attempt"
