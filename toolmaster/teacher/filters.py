"""The paper's filter as rules: keep demonstrations that plan, explore and validate.

Source: arXiv 2601.12762, section on trajectory filtering, where a judge model looks for the three
behaviours. Here each is a small function of the trajectory.
"""

from __future__ import annotations

from toolmaster.protocols import Protocol
from toolmaster.types import ActionKind, Phase, Trajectory


def plans(trajectory: Trajectory) -> bool:
    """Every turn thinks before it acts."""
    return all(
        step.text.startswith("<think>") and not step.text.startswith("<think></think>")
        for step in trajectory.steps
    )


def explores(trajectory: Trajectory) -> bool:
    """Every tool of the execution was tried before, by itself or through its twin, or is known."""
    if trajectory.protocol != Protocol.TRIAL or trajectory.known:
        return True
    tried = {step.call.name for step in trajectory.calls(Phase.TRIAL) if step.call}
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
