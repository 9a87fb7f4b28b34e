"""The oracle of the embedded world's task set: one demonstration of one task."""

from __future__ import annotations

import random
from dataclasses import replace

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import Task
from toolmaster.teacher.acting import succeeds_again
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.types import Phase, Trajectory
from toolmaster.world6.oracle import OraclePolicy
from toolmaster.world6.tasks import World, WorldTask


async def show(
    world: World, task_id: str, protocol: Protocol, limits: Limits, settings: DemonstrationSettings
) -> Trajectory | None:
    """One demonstration of one task.

    A share of them starts with what a trial of the same tools has shown, and tries nothing.

    Returns:
        The trajectory; None when it does not solve the task, or does not do so again when its turns
        are played in a fresh session.
    """
    drawn = world.draw(task_id)
    trajectory = await _shown(drawn, drawn.task, protocol, limits, settings)
    if trajectory is None or not trajectory.calls(Phase.TRIAL):
        return trajectory
    if random.Random(f"{task_id}/known").random() < settings.known_share:
        task = replace(drawn.task, experience=trajectory.experience)
        return await _shown(drawn, task, protocol, limits, settings)
    return trajectory


async def _shown(
    drawn: WorldTask,
    task: Task,
    protocol: Protocol,
    limits: Limits,
    settings: DemonstrationSettings,
) -> Trajectory | None:
    """Return the oracle's trajectory where it solves the task, and does so again."""
    request = RolloutRequest(task)
    oracle = OraclePolicy(drawn, protocol, settings.behaviours, known=task.experience)
    trajectory = await run_rollout(request, oracle, protocol, limits)
    if not trajectory.success:
        return None
    return trajectory if await succeeds_again(trajectory, request, protocol, limits) else None
