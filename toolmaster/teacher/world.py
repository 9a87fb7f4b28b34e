"""The oracle of the embedded world's task set: one demonstration of one task."""

from __future__ import annotations

import random
from dataclasses import replace

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import Task
from toolmaster.teacher.acting import succeeds_again
from toolmaster.teacher.filters import keep
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.types import Phase, Trajectory
from toolmaster.world.tasks import World, WorldTask

_OVERSPEND_SHARE = 0.06
"""Fraction of demonstrations whose trial budget is used up: the teacher tries one call too many."""


async def show(
    world: World, task_id: str, protocol: Protocol, limits: Limits, settings: DemonstrationSettings
) -> Trajectory | None:
    """Return a demonstration of one task.

    Returns:
        The trajectory; None if it does not solve the task, does not pass the filter, or does not
        succeed again when its turns are repeated in a fresh session.
    """
    drawn = world.draw(task_id)
    trajectory = await _shown(drawn, drawn.task, protocol, limits, settings)
    if trajectory is None or not trajectory.calls(Phase.TRIAL):
        return trajectory
    drawn_share = random.Random(f"{task_id}/known").random()
    known_share = settings.known_share
    if any(s.quirk.factor != 1 or s.quirk.family == "loud" for s in drawn.surfaces):
        known_share *= 2
    if drawn_share < known_share:
        other = world.draw(f"{task_id}/2")  # other entities: no lesson names the answer
        tried = await _shown(other, other.task, protocol, limits, settings)
        if tried is None:
            return None
        task = replace(drawn.task, experience=tried.experience)
        return await _shown(drawn, task, protocol, limits, settings)
    overspends = protocol is Protocol.TRIAL and settings.behaviours.self_correction
    if overspends and drawn_share < known_share + _OVERSPEND_SHARE:
        enough = limits.model_copy(update={"trial_calls": len(trajectory.calls(Phase.TRIAL))})
        return await _shown(drawn, drawn.task, protocol, enough, settings, overspends=True)
    return trajectory


async def _shown(
    drawn: WorldTask,
    task: Task,
    protocol: Protocol,
    limits: Limits,
    settings: DemonstrationSettings,
    *,
    overspends: bool = False,
) -> Trajectory | None:
    """Return the oracle's trajectory of `task`; None if it fails one of the three conditions."""
    request = RolloutRequest(task)
    oracle = OraclePolicy(
        drawn, protocol, settings.behaviours, known=task.experience, overspends=overspends
    )
    trajectory = await run_rollout(request, oracle, protocol, limits)
    if not trajectory.success or (settings.filter and not keep(trajectory)):
        return None
    return trajectory if await succeeds_again(trajectory, request, protocol, limits) else None
