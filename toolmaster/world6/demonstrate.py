"""The oracle of the embedded world's task set: one demonstration of one task."""

from __future__ import annotations

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.teacher.acting import succeeds_again
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.types import Trajectory
from toolmaster.world6.oracle import OraclePolicy
from toolmaster.world6.tasks import World


async def show(
    world: World, task_id: str, protocol: Protocol, limits: Limits, settings: DemonstrationSettings
) -> Trajectory | None:
    """One demonstration of one task.

    Returns:
        The trajectory; None when it does not solve the task, or does not do so again when its turns
        are played in a fresh session.
    """
    drawn = world.draw(task_id)
    request = RolloutRequest(drawn.task)
    oracle = OraclePolicy(drawn, protocol, settings.behaviours)
    trajectory = await run_rollout(request, oracle, protocol, limits)
    if not trajectory.success:
        return None
    return trajectory if await succeeds_again(trajectory, request, protocol, limits) else None
