"""The paper's filter as rules: keep demonstrations that plan, explore and validate.

Source: arXiv 2601.12762, section on trajectory filtering, where a judge model looks for the three
behaviours. Here each behaviour is a function of the trajectory. A teacher model makes mistakes:
`mark_slips` excludes them from training before the filter runs.
"""

from __future__ import annotations

from toolmaster.protocols import Protocol
from toolmaster.teacher.settings import Behaviours
from toolmaster.types import FORMAT_ERRORS, ActionKind, ErrorKind, Phase, Step, Trajectory

REFUSED = frozenset(
    {ErrorKind.INVALID_ARGUMENTS, ErrorKind.BUDGET_EXHAUSTED, ErrorKind.NOT_PERMITTED}
)
"""Errors of calls that did not reach their tool, so that nothing was tried."""


def plans(trajectory: Trajectory) -> bool:
    """Return whether every turn that is trained on thinks before it acts."""
    return all(
        step.text.startswith("<think>") and not step.text.startswith("<think></think>")
        for step in trajectory.steps
        if not step.slip
    )


def explores(trajectory: Trajectory) -> bool:
    """Return whether every tool of the execution was tried, or experience was retrieved."""
    if trajectory.protocol != Protocol.TRIAL or trajectory.retrieved_experience:
        return True
    trial = [step for step in trajectory.calls(Phase.TRIAL) if step.error not in REFUSED]
    tried = {step.call.name for step in trial if step.call}
    execution = [step for step in trajectory.calls(Phase.EXECUTION) if not step.slip]
    used = {step.call.name for step in execution if step.call}
    return bool(tried) and used <= tried


def validates(trajectory: Trajectory) -> bool:
    """Return whether every error is followed by a call that succeeds.

    After a trial, the execution may have no errors but injected ones.
    """
    for index, step in enumerate(trajectory.steps):
        if step.error is None:
            continue
        if _after_trial(trajectory, step) and not step.slip:
            return False
        rest = trajectory.steps[index + 1 :]
        if not any(s.action is ActionKind.CALL and s.error is None for s in rest):
            return False
    return True


def mark_slips(trajectory: Trajectory) -> None:
    """Mark the turns that a student should learn to correct, but not to write.

    These are turns with a format error, calls of a tool that does not exist, and, after a trial,
    calls that fail. Calls of a trial may fail.
    """
    for step in trajectory.steps:
        broken = step.error in FORMAT_ERRORS or step.error is ErrorKind.UNKNOWN_TOOL
        failed = _after_trial(trajectory, step) and step.error is not None
        step.slip = step.slip or broken or failed


def _after_trial(trajectory: Trajectory, step: Step) -> bool:
    return trajectory.protocol == Protocol.TRIAL and step.phase is Phase.EXECUTION


def reason_against(trajectory: Trajectory, behaviours: Behaviours, *, rules: bool) -> str | None:
    """Return why a candidate is not a demonstration; None if it is one.

    Args:
        trajectory: The candidate, with its mistakes marked.
        behaviours: The behaviours that the teacher was told to show.
        rules: Whether it must show planning, exploration and validation. Otherwise it only needs an
            answer, which must be right if the task can be scored.
    """
    if trajectory.answer is None or not trajectory.answer.strip():
        return f"no answer: {trajectory.error or trajectory.stop_reason}"
    if trajectory.score is not None and not trajectory.score.success:
        return "wrong answer or end state"
    return _not_shown(trajectory, behaviours) if rules else None


def _not_shown(trajectory: Trajectory, behaviours: Behaviours) -> str | None:
    """Return the first behaviour that is missing; None if none is."""
    if not plans(trajectory):
        return "no planning: a turn without a thought"
    if behaviours.trial and not explores(trajectory):
        return "no exploration: a tool was used that was not tried"
    if not behaviours.self_correction and any(step.error for step in trajectory.steps):
        return "an error, where none is to be shown"
    return None if validates(trajectory) else "no validation: an error without another attempt"
