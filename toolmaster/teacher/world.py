"""The oracle of the embedded world's task set: one demonstration of one task."""

from __future__ import annotations

import random
from dataclasses import replace

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.teacher.acting import succeeds_again
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.types import Phase, Trajectory
from toolmaster.world.tasks import World


async def show(
    world: World, task_id: str, protocol: Protocol, limits: Limits, settings: DemonstrationSettings
) -> Trajectory | None:
    """Return one demonstration of one task.

    A share of them starts with what a trial of the same tools has shown, and tries nothing.

    Returns:
        The trajectory; None when it does not solve the task, or does not do so again when its turns
        are played in a fresh session.
    """
    drawn = world.draw(task_id)

    async def shown(experience: str) -> Trajectory | None:
        request = RolloutRequest(replace(drawn.task, experience=experience))
        oracle = OraclePolicy(drawn, protocol, settings.behaviours, known=experience)
        made = await run_rollout(request, oracle, protocol, limits)
        solved = made.success and await succeeds_again(made, request, protocol, limits)
        return made if solved else None

    first = await shown("")
    if first is None or not first.calls(Phase.TRIAL):
        return first
    known = random.Random(f"{task_id}/known").random() < settings.known_share
    return await shown(first.experience) if known else first
